import * as z from 'zod';
import { type Digest, isDigest } from './digest.ts';

const DigestText = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  message: 'is no digest',
});

/** Where a reference stands in a chart's render. */
export const IsolationPlace = z.object({
  /** Template file: `kyverno/templates/deployment.yaml`. */
  template: z.string(),
  /** Line in what the template rendered, from 1. */
  line: z.number().int().positive(),
  /** `Deployment/kyverno`, with `namespace/` before the name where it has one. */
  object: z.string(),
  /** `spec.template.spec.containers[0].image`. */
  field: z.string(),
  /** Set when only an upgrade of the release renders it there, and not its installation. */
  onlyUpgrade: z.literal(true).optional(),
});
export type IsolationPlace = Readonly<z.infer<typeof IsolationPlace>>;

/**
 * What becomes of a reference. `repointed`: values set it to the target. `patched`: the chart's template was changed.
 * `allowed`: its host is one that the cluster can reach. `uncontrolled`: no value moves it. `refused`: the chart does not let
 * the values be changed. `unknown`: not found out.
 */
export const IsolationOutcome = z.enum(['repointed', 'patched', 'allowed', 'uncontrolled', 'refused', 'unknown']);
export type IsolationOutcome = z.infer<typeof IsolationOutcome>;

/** One image reference of a chart, wherever it stands. */
export const IsolatedReference = z.object({
  /** As the chart renders it without overrides. */
  reference: z.string(),
  kind: z.enum(['typed', 'field', 'text']),
  places: z.array(IsolationPlace).min(1),
  /** Names of the profiles under which it is rendered; empty: only where a condition is switched on. */
  profiles: z.array(z.string()),
  outcome: IsolationOutcome,
  /** Value paths that set it: `controller.image.repository`, `a.list[0].image`. */
  controlledBy: z.array(z.string()),
  /** One of the paths leads through a list, which the EKS module would append to instead of replacing it. */
  insideList: z.boolean(),
  /** The name that the chart renders with the overrides; where the image has to be. */
  target: z.string().optional(),
  /** What the target holds under that name. */
  digest: DigestText.optional(),
  pinned: z.boolean(),
  /** Why it is not re-pointed, in words for the reader; helm's own where it was helm that refused. */
  why: z.string().optional(),
  /** `proven`: a render of the chart pulled back from the target names it there, and the target holds it whole. */
  proof: z.enum(['proven', 'failed', 'none']),
  /** What is wrong, when the proof failed. */
  problem: z.string().optional(),
});
export type IsolatedReference = Readonly<z.infer<typeof IsolatedReference>>;

/** An image that a condition hides: in no render, until a value switches it on. */
export const ConditionalReference = z.object({
  /** As the values name it; several where the parts leave it open. */
  references: z.array(z.string()),
  valuePath: z.string(),
  /** Values that switch it on, where they were found: `sidecar.enabled`. */
  switches: z.array(z.string()),
  /** It was copied and re-pointed, too (`conditionalImages: copy`). */
  copied: z.boolean(),
});
export type ConditionalReference = Readonly<z.infer<typeof ConditionalReference>>;

/** What is known about the images of one chart, and the proof that the cluster needs no other registry for it. */
export const ChartIsolation = z.object({
  key: z.string(),
  name: z.string(),
  version: z.string(),
  /** `registry/path/name:tag` of the chart at the target. */
  target: z.string(),
  profiles: z.array(z.string()),
  /** Sorted by reference. */
  references: z.array(IsolatedReference),
  conditional: z.array(ConditionalReference),
  /** Guesses that no registry confirms: not images, or nothing that can be pulled. */
  rejected: z.array(z.object({ text: z.string(), place: IsolationPlace, why: z.string() })),
  /** What else differs with the overrides, by the chart's own rules (checksums, labels). */
  derived: z.array(z.object({ template: z.string(), before: z.string(), after: z.string() })),
  /** Things that the reader should know: a render without workloads, a value that silently removes one, … */
  warnings: z.array(z.string()),
  /** Every reference that values control is at the target, also when values are merged as the EKS module merges them. */
  holds: z.boolean(),
  /** Problems that belong to no single reference. */
  problems: z.array(z.string()),
  renders: z.number().int().nonnegative(),
  seconds: z.number().nonnegative(),
});
export type ChartIsolation = Readonly<z.infer<typeof ChartIsolation>>;
