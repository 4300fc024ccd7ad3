import * as z from 'zod';
import type { ErrorCode } from '../model/errors.ts';
import { isDigest, type Digest } from '../model/digest.ts';
import { PlannedImage } from '../model/plan.ts';

/** Version of the formats of a run folder. */
export const shardVersion = 1;

/**
 * How a registry is opened, secrets by reference only. A host without an entry is opened by the worker's own means: its docker
 * config, and its role for private ECR.
 */
export const Access = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('ecr'),
    region: z.string(),
    /** When it is not the account of the credentials. */
    account: z.string().optional(),
    /** Absent: the worker's own; for another account's registry the parameter drh-credentials, where there is one. */
    credential: z
      .discriminatedUnion('kind', [
        z.object({ kind: z.literal('parameter'), name: z.string() }),
        z.object({ kind: z.literal('role'), arn: z.string() }),
        /** The worker's own, whatever the account. */
        z.object({ kind: z.literal('own') }),
      ])
      .optional(),
  }),
  z.object({
    kind: z.literal('registry'),
    /** Absent: none at all, not even the docker config's. */
    credential: z
      .discriminatedUnion('kind', [
        /** SSM SecureString {"username", "password"}. */
        z.object({ kind: z.literal('parameter'), name: z.string() }),
        z.object({
          kind: z.literal('secret'),
          /** Name or ARN. */
          arn: z.string(),
          /** Key in it. */
          key: z.string().optional(),
          /** Whether the host may have what is in the secret for no host by name. */
          own: z.boolean(),
        }),
      ])
      .optional(),
  }),
]);
export type Access = Readonly<z.infer<typeof Access>>;

/** By host as references write it. */
export const AccessTable = z.record(z.string(), Access);
export type AccessTable = Readonly<z.infer<typeof AccessTable>>;

/** What repositories get that a worker creates. */
const Repositories = z.object({
  scanOnPush: z.boolean(),
  immutableTags: z.boolean(),
  encryptionKey: z.string(),
});

/** What all shards of a run have in common: everything that makes a worker copy as the job itself would. */
export const ShardSettings = z.object({
  /** Name of the run: the last part of its folder's address. */
  run: z.string(),
  job: z.string(),
  /** When it was planned: as planning.json has it, unless planning into the folder anew has broken off. */
  plannedAt: z.string().optional(),
  /** Region of the parameters, tables and secrets. */
  region: z.string().optional(),
  /** Where is read from. */
  access: AccessTable,
  /** Where is written to. */
  targets: AccessTable,
  /** How often an image is tried. */
  tries: z.number().int().positive(),
  /** Have the target prove that it holds everything. */
  verify: z.boolean(),
  /** Whether signatures and attestations come along; a lock names them one by one instead. */
  referrers: z.boolean(),
  /** Google's own credentials for Google's registries, as the mirror job has them there. */
  google: z.boolean().optional(),
  /** Where the status of each image is kept. */
  status: z.string().optional(),
  /** Table with the write budget that all workers share. */
  budget: z.string().optional(),
  /** Workers that run at the same time. Absent: one a shard. */
  workers: z.number().int().positive().optional(),
  repositories: Repositories.optional(),
  repositoryTags: z.record(z.string(), z.string()).optional(),
  /** Blobs moved at the same time. */
  concurrency: z.number().int().positive().optional(),
  /** Bytes that blobs for several repositories may take on disk. Absent: what the worker's own surroundings say. */
  spoolBytes: z.number().int().nonnegative().optional(),
  /** Hosts beside loopback that may be spoken to in plain HTTP. */
  insecureHosts: z.array(z.string()).optional(),
});
export type ShardSettings = Readonly<z.infer<typeof ShardSettings>>;

/** A part of a run, with everything that a worker needs for it. */
export const Shard = ShardSettings.extend({
  version: z.literal(shardVersion),
  index: z.number().int().nonnegative(),
  of: z.number().int().positive(),
  /** With its digest wherever the planner has looked at the source. */
  images: z.array(PlannedImage),
});
export type Shard = Readonly<z.infer<typeof Shard>>;

/** A line of `shards.json`: what Step Functions hands to a worker, and what a reader wants to know before opening the shard. */
export const ShardItem = z.object({
  /** Address of the shard. */
  shard: z.string(),
  index: z.number().int().nonnegative(),
  images: z.number().int().nonnegative(),
  manifests: z.number().int().nonnegative(),
  /** To be moved at most, each blob once. */
  bytes: z.number().nonnegative(),
});
export type ShardItem = Readonly<z.infer<typeof ShardItem>>;
export const ShardList = z.array(ShardItem);
export type ShardList = readonly ShardItem[];

const codes: Readonly<Record<ErrorCode, true>> = {
  usage: true,
  configuration: true,
  'not-found': true,
  unauthorized: true,
  denied: true,
  throttled: true,
  unavailable: true,
  unreachable: true,
  conflict: true,
  'blob-unknown': true,
  unsupported: true,
  corrupt: true,
  refused: true,
  storage: true,
  cancelled: true,
  deadline: true,
  internal: true,
};

export const FailureRecord = z.object({
  artifact: z.string(),
  side: z.enum(['source', 'target', 'module']),
  reference: absent(z.string()),
  digest: absent(z.string()),
  host: absent(z.string()),
  code: z.custom<ErrorCode>((value) => typeof value === 'string' && Object.hasOwn(codes, value), {
    message: 'is no error code',
  }),
  cause: z.string(),
  remedy: absent(z.string()),
});

/** JSON leaves out what is undefined; the model's types name it. */
function absent<T extends z.ZodType>(schema: T) {
  return schema.optional().transform((value) => value);
}

const DigestText = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  message: 'is no digest',
});
const Text = z.string();
const Count = z.number().nonnegative();

export const OutcomeRecord = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('copied'),
    artifact: Text,
    targets: z.array(Text),
    digest: DigestText,
    bytes: Count,
    seconds: Count,
  }),
  z.object({ kind: z.literal('unchanged'), artifact: Text, targets: z.array(Text), digest: DigestText }),
  z.object({ kind: z.literal('failed'), artifact: Text, targets: z.array(Text), failures: z.array(FailureRecord) }),
]);

export const TotalsRecord = z.object({
  bytesRead: Count,
  bytesWritten: Count,
  blobsRead: Count,
  blobsWritten: Count,
  blobsMounted: Count,
  manifestsWritten: Count,
  seconds: Count,
  spent: z.object({ reading: Count, writing: Count, limited: Count, limitedBy: absent(z.string()), cpu: Count }),
});

export const Counts = z.object({ copied: Count, unchanged: Count, failed: Count });
export type Counts = Readonly<z.infer<typeof Counts>>;

/** What became of a shard, over all attempts: bytes and copies of earlier ones are counted in. */
export const ShardResult = z.object({
  version: z.literal(shardVersion),
  run: z.string(),
  index: z.number().int().nonnegative(),
  /** Which attempt this is; those that were killed count, too. */
  attempts: z.number().int().positive(),
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  finishedAt: z.string(),
  counts: Counts,
  totals: TotalsRecord.optional(),
  /** Of images, and of the worker itself. */
  failures: z.array(FailureRecord),
  outcomes: z.array(OutcomeRecord),
  notices: z.array(z.string()),
});
export type ShardResult = Readonly<z.infer<typeof ShardResult>>;

/** An image that was copied, by its place in the shard. */
export const CopiedImage = z.object({
  image: z.number().int().nonnegative(),
  digest: DigestText,
  bytes: Count,
  seconds: Count,
});
export type CopiedImage = Readonly<z.infer<typeof CopiedImage>>;

/** What attempts did of which there is no result, because they were killed: what the last note of each says. */
export const Unfinished = z.object({
  /** When the first of them began. */
  startedAt: z.string(),
  copied: z.array(CopiedImage),
  bytesRead: Count,
  bytesWritten: Count,
});
export type Unfinished = Readonly<z.infer<typeof Unfinished>>;

/** How far a worker is: written when it begins, and now and then. */
export const ShardProgress = z.object({
  run: z.string(),
  index: z.number().int().nonnegative(),
  attempt: z.number().int().positive(),
  startedAt: z.string(),
  updatedAt: z.string(),
  images: Count,
  done: Count,
  /** Those of this attempt that it has copied. */
  copied: z.array(CopiedImage).optional(),
  bytesRead: Count.optional(),
  bytesWritten: Count,
  /** What the attempts before this one did and left no result of. */
  killed: Unfinished.optional(),
  /** Where it runs: a host name, or the task's. */
  worker: z.string(),
  /** Address of its log. */
  log: z.string().optional(),
});
export type ShardProgress = Readonly<z.infer<typeof ShardProgress>>;

/** What planning found out beside the shards. */
export const Planning = z.object({
  version: z.literal(shardVersion),
  run: z.string(),
  job: z.string(),
  /** ISO 8601, UTC. */
  plannedAt: z.string(),
  shards: Count,
  images: Count,
  manifests: Count,
  /** To be moved at most, each blob once over all. */
  bytes: Count,
  /** What the shards' bytes add up to, divided by these: how often a blob leaves its source on average. */
  bytesFactor: Count,
  /** Images that both sides' listings show alike: no worker looks at them. */
  unchanged: Count,
  /** What was asked for and could not be found out; belongs to no shard. */
  failures: z.array(FailureRecord),
});
export type Planning = Readonly<z.infer<typeof Planning>>;
