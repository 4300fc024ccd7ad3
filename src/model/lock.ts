import * as z from 'zod';
import { type Digest, isDigest } from './digest.ts';
import { isReplicationError } from './errors.ts';
import { ChartIsolation } from './isolation.ts';
import { parseReference } from './reference.ts';

/** Version of the lock's format. */
export const lockVersion = 1;
export const lockKind = 'image-replication/lock';

/** Name of the file that a run leaves. */
export const lockFileName = 'replication.lock.json';

const DigestText = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  message: 'is no digest',
});

const SourceText = z.string().superRefine((text, context) => {
  try {
    parseReference(text);
  } catch (error) {
    if (!isReplicationError(error)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

/** `host/repository:tag` or `host/repository@digest`; the host may have a port. */
const TargetText = z.string().regex(/^[^/\s@]+\/[^\s@:]+(?::[\w][\w.-]{0,127}|@sha(?:256|512):[0-9a-f]+)$/, {
  message: 'is no host/repository:tag',
});

/** A signature, attestation or SBOM that belongs to an artifact and is copied with it. */
export const LockedReferrer = z.strictObject({
  /** Under which it lies beside the artifact: cosign's tag `sha256-<hex>.sig`, or its own digest. */
  reference: z.string().min(1),
  digest: DigestText,
  /** The manifest that it is about: the artifact, one of its platforms, or another referrer. */
  subject: DigestText,
  mediaType: z.string(),
  /** What it is, as it says of itself: `application/vnd.dev.cosign.artifact.sig.v1+json`. */
  artifactType: z.string().optional(),
  /** Bytes of its manifests and blobs. */
  size: z.number().int().nonnegative(),
});
export type LockedReferrer = Readonly<z.infer<typeof LockedReferrer>>;

/** What lies at the target under the names of one artifact. */
const contents = {
  /** Of the topmost manifest. */
  mediaType: z.string(),
  /** Bytes of all manifests and blobs, each counted once, layers that stay at their vendor left out. */
  size: z.number().int().nonnegative(),
  /** Sorted by reference. */
  referrers: z.array(LockedReferrer),
} as const;

export const LockedImage = z.strictObject({
  /** As the plan writes it, after all mappings. */
  source: SourceText,
  /** What the source named when it was copied. */
  digest: DigestText,
  /** What the targets hold instead, where platforms were cut out. */
  cut: DigestText.optional(),
  /** Platforms that were asked for. */
  platforms: z.union([z.literal('all'), z.array(z.string()).min(1)]),
  /** Platforms that are in it, as os/arch[/variant], sorted; empty for what is no image. */
  contains: z.array(z.string()),
  /** Complete names at the target, sorted. */
  targets: z.array(TargetText).min(1),
  /** What asked for it: `charts.grafana.images.sidecar`. */
  origins: z.array(z.string()),
  ...contents,
});
export type LockedImage = Readonly<z.infer<typeof LockedImage>>;

/**
 * What is known of a chart's images, without what differs from run to run: times, costs, rendered texts and what of those was
 * taken for an image and is none. Charts make names of objects at random, too: a place has the object's kind alone.
 */
export const LockedIsolation = ChartIsolation.pick({
  profiles: true,
  references: true,
  conditional: true,
  warnings: true,
  holds: true,
  problems: true,
}).extend({
  /** Templates in which more than image references differs with the overrides, by the chart's own rules. */
  derived: z.array(z.string()),
});
export type LockedIsolation = Readonly<z.infer<typeof LockedIsolation>>;

export const LockedChart = z.strictObject({
  /** Key in the data files. */
  key: z.string(),
  name: z.string(),
  /** Version at the target. */
  version: z.string(),
  source: z.strictObject({
    /** `https://…` or `oci://…`, as written. */
    repository: z.string(),
    version: z.string(),
    /** Of the archive (.tgz). */
    digest: DigestText,
    /** Where the chart lies in a registry: host/repository, and the digest of its manifest there. */
    oci: z.strictObject({ place: z.string(), manifest: DigestText }).optional(),
  }),
  target: TargetText,
  /** Of the archive at the target, which is the source's unless the chart was patched. */
  digest: DigestText,
  /** What was changed in the archive (UncontrolledImages=PATCH), as a unified diff; with the source's archive it gives the target's. */
  patch: z.string().optional(),
  /** Value overrides that are published for it. */
  values: z.record(z.string(), z.unknown()),
  /** Absent when the chart was not rendered. */
  isolation: LockedIsolation.optional(),
  ...contents,
});
export type LockedChart = Readonly<z.infer<typeof LockedChart>>;

/** What the EKS job needs beside images and charts to write its result again. */
export const LockedEks = z.strictObject({
  amiVersion: z.string(),
  additionalImages: z.record(z.string(), z.string()),
  updatedImages: z.array(z.strictObject({ src: z.string(), target: z.string() })),
  /**
   * Hosts that the user's own data files name, sorted: a secret that is for no host by name goes to these and no other. A lock
   * of a run that had none has none.
   */
  ownHosts: z.array(z.string()).optional(),
});
export type LockedEks = Readonly<z.infer<typeof LockedEks>>;

/** What the chart job needs beside images to write its values file again: what it sets, and nothing of the user's own values. */
export const LockedApplication = z.strictObject({
  /** Absent when there was no chart, and the images are those of lists. */
  chart: z.strictObject({ name: z.string(), version: z.string() }).optional(),
  /** Values that name images at the target, by keys and positions from the top. */
  settings: z.array(
    z.strictObject({ path: z.array(z.union([z.string(), z.number().int().nonnegative()])).min(1), value: z.string() }),
  ),
  /** The chart's own lists that settings lead through, as JSON in its order: helm replaces lists as a whole. */
  lists: z.array(z.strictObject({ path: z.array(z.string()).min(1), json: z.string() })),
  /** Images that no value moves, in words. */
  uncontrolled: z.array(z.string()),
});
export type LockedApplication = Readonly<z.infer<typeof LockedApplication>>;

/** Everything that a run replicated, by digest: enough to check a target later, and to replicate exactly the same again. */
export const Lock = z
  .strictObject({
    kind: z.literal(lockKind),
    version: z.literal(lockVersion),
    job: z.string(),
    /** What all targets begin with, `/` at its end: `123456789012.dkr.ecr.eu-west-1.amazonaws.com/`. Absent when they have no host in common. */
    target: z.string().endsWith('/').optional(),
    /** Sorted by source. */
    images: z.array(LockedImage),
    /** Sorted by key. */
    charts: z.array(LockedChart),
    eks: LockedEks.optional(),
    application: LockedApplication.optional(),
  })
  .superRefine((lock, context) => {
    for (const { path, message } of contradictions(lock)) context.addIssue({ code: 'custom', path, message });
  });
export type Lock = Readonly<z.infer<typeof Lock>>;

/** What the targets of an image hold. */
export function digestAtTarget(image: LockedImage): Digest {
  return image.cut ?? image.digest;
}

interface Contradiction {
  readonly path: (string | number)[];
  readonly message: string;
}

/** One name for two things, as a merge by hand leaves it, and names outside of what all are said to begin with. */
function contradictions(lock: {
  readonly target?: string | undefined;
  readonly images: readonly LockedImage[];
  readonly charts: readonly LockedChart[];
}): readonly Contradiction[] {
  const claims = [
    ...lock.images.flatMap((image, position) =>
      image.targets.map((target, index) => ({
        target,
        holds: digestAtTarget(image),
        path: ['images', position, 'targets', index],
      })),
    ),
    ...lock.charts.map((chart, position) => ({
      target: chart.target,
      holds: chart.digest,
      path: ['charts', position, 'target'],
    })),
  ];
  const takenBy = new Map<string, string>();
  return claims.flatMap(({ target, holds, path }): Contradiction[] => {
    const other = takenBy.get(target);
    takenBy.set(target, other ?? holds);
    if (other !== undefined && other !== holds) return [{ path, message: `${target} has two digests` }];
    if (lock.target !== undefined && !target.startsWith(lock.target))
      return [{ path, message: `${target} does not begin with ${lock.target}` }];
    return [];
  });
}

/**
 * `missing`: the name holds nothing. `changed`: it holds something else. `damaged`: parts of it are gone. `moved`: the source
 * has something else under the name now. `gone`: the source has it no more. `unknown`: nobody could be asked.
 */
export type LockState = 'missing' | 'changed' | 'damaged' | 'moved' | 'gone' | 'unknown';

/** One thing that is not as the lock says. */
export interface LockFinding {
  /** Source reference of an image, `chart name version`. */
  readonly artifact: string;
  readonly at: 'target' | 'source';
  readonly state: LockState;
  /** Where it was looked for. */
  readonly reference: string;
  readonly locked: Digest;
  readonly found?: Digest | undefined;
  /** In words, with what answered. */
  readonly why: string;
  readonly remedy?: string | undefined;
}
