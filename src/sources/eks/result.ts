import { ReplicationError } from '../../model/errors.ts';
import type { JsonMap } from './schema.ts';

/** What the EKS module reads of one chart: where it is now, and the values that point its images there. */
export interface ReplicatedChart {
  readonly helm: {
    readonly name: string;
    readonly version: string;
    /** `oci://<registry>/<project>-<last segment of the source repository>/<name>` */
    readonly repository: string;
    readonly srcRepository: string;
  };
  readonly values: JsonMap;
}

/** `replication_result.json`, and the S3 object that the EKS module's parameter names. */
export interface ReplicationResult {
  readonly ami: { readonly version: string };
  /** In the order of default.yaml. */
  readonly charts: Readonly<Record<string, ReplicatedChart>>;
  /** Name to image at the target. */
  readonly additional_images: Readonly<Record<string, string>>;
  /** Where the lock of a published result lies, and its digest. The EKS module reads none of it, and is not disturbed by it. */
  readonly lock?: { readonly s3_object: string; readonly digest: string } | undefined;
}

/** An entry of `updated_images.json`. */
export interface UpdatedImage {
  readonly src: string;
  readonly target: string;
}

/**
 * Largest result, in bytes. The EKS module's build puts it into one environment variable, and Linux caps a single one at
 * 128 KiB (execve(2), MAX_ARG_STRLEN); the rest is room for its name and for what the module adds.
 */
export const maxResultBytes = 100 * 1024;

/**
 * The result as it is written to file and S3: indented, or compact when that alone keeps it below 100 KiB.
 * @throws ReplicationError `configuration` when it is larger even so
 */
export function formatResult(result: ReplicationResult): string {
  const ordered = {
    ami: result.ami,
    charts: result.charts,
    additional_images: result.additional_images,
    lock: result.lock,
  };
  const indented = `${JSON.stringify(ordered, undefined, 4)}\n`;
  if (Buffer.byteLength(indented) < maxResultBytes) return indented;
  const compact = `${JSON.stringify(ordered)}\n`;
  const bytes = Buffer.byteLength(compact);
  if (bytes < maxResultBytes) return compact;
  throw new ReplicationError(
    'configuration',
    `the result has ${bytes} bytes, ${maxResultBytes} are the most that the EKS module can take`,
    { remedy: 'skip charts that the cluster does not use, or shorten `values` in the data files' },
  );
}

export function formatUpdatedImages(images: readonly UpdatedImage[]): string {
  return `${JSON.stringify(images, undefined, 4)}\n`;
}
