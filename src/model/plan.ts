import * as z from 'zod';
import { type Digest, isDigest } from './digest.ts';

/** Version of the plan's format. */
export const planVersion = 1;

const DigestText = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  message: 'is no digest',
});

/** Why an artifact is in the plan: the file (or command line) that asked for it, and where in it. */
export const Origin = z.object({
  /** `charts.grafana.images.sidecar`, `additional_images.cloudwatch_agent`, `list.txt:12`, … */
  path: z.string(),
  file: z.string().optional(),
  line: z.number().int().positive().optional(),
});
export type Origin = Readonly<z.infer<typeof Origin>>;

/**
 * One image (or any other artifact that is copied as it is) and every name it gets at the target.
 * References are texts as a user would write them.
 */
export const PlannedImage = z.object({
  kind: z.literal('image'),
  /** Where it is read from, after all mappings. */
  source: z.string(),
  /** Set once the source was asked; a locked plan has it from the start. */
  digest: DigestText.optional(),
  /** Platforms to copy as os/arch[/variant]; `all` copies everything and keeps every byte. */
  platforms: z.union([z.literal('all'), z.array(z.string()).min(1)]),
  /** Names at the target. One image may have several. */
  targets: z.array(z.string()).min(1),
  origins: z.array(Origin),
});
export type PlannedImage = Readonly<z.infer<typeof PlannedImage>>;

/** One Helm chart: where it is read from, where it goes, and the values that re-point its images. */
export const PlannedChart = z.object({
  kind: z.literal('chart'),
  /** Key in the data files; the EKS module looks charts up by it. */
  key: z.string(),
  name: z.string(),
  /** Exact version, as the repository writes it. */
  version: z.string(),
  /** Repository as written: `https://…` or `oci://…`. */
  repository: z.string(),
  /** `registry/path/name:tag` where the chart is pushed ('+' of the version is '_' in the tag). */
  target: z.string(),
  /** Digest of the chart archive (.tgz), which is the digest of the chart layer at the target. */
  digest: DigestText.optional(),
  /** Value overrides that are published for this chart. */
  values: z.record(z.string(), z.unknown()),
  origins: z.array(Origin),
});
export type PlannedChart = Readonly<z.infer<typeof PlannedChart>>;

/** What a run will do. Same inputs, same plan: images are sorted by source, charts by key. */
export const Plan = z.object({
  version: z.literal(planVersion),
  job: z.string(),
  images: z.array(PlannedImage),
  charts: z.array(PlannedChart),
});
export type Plan = Readonly<z.infer<typeof Plan>>;
