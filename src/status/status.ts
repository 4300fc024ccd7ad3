import * as z from 'zod';
import { type ImageState, imageStates } from './states.ts';

/** One line of the status: an image, under one name at the target. */
export const ImageStatus = z.object({
  /** `host/repository:tag` or `host/repository@digest`; there is one status for each. */
  target: z.string(),
  source: z.string(),
  /** What the name stands for at the target; `null` where that is not known. */
  digest: z.string().nullable(),
  state: z.enum(imageStates),
  /** How often the last run has tried to copy it; 0 when there was nothing to copy. */
  tries: z.number().int().nonnegative(),
  /** ISO 8601, UTC: when the last run began with it, and when it ended with it. */
  started: z.string(),
  finished: z.string().nullable(),
  /** Why it failed, free of secrets. */
  error: z.string().nullable(),
});
export type ImageStatus = Readonly<z.infer<typeof ImageStatus>>;

/** Which statuses are wanted; all where nothing is said. */
export interface StatusFilter {
  readonly states?: readonly ImageState[] | undefined;
  /** Only those of these names, which are looked up one by one. */
  readonly targets?: readonly string[] | undefined;
}

/** Where the status of images is kept from run to run. Losing it loses no image: the registries themselves are compared. */
export interface StatusStore {
  /** For messages: `sqlite:FILE`, `dynamodb:TABLE`. */
  readonly name: string;
  /** Adds statuses, each in place of the one before with the same target. */
  record(statuses: readonly ImageStatus[], signal: AbortSignal): Promise<void>;
  /** All statuses, sorted by target. */
  list(filter: StatusFilter, signal: AbortSignal): Promise<readonly ImageStatus[]>;
  close(): Promise<void>;
}
