import { deleteImages } from '../../aws/ecr-delete.ts';
import { repositories } from '../../aws/repositories.ts';
import { ReplicationError, toReplicationError } from '../../model/errors.ts';
import { type Failure, failureOf } from '../../model/result.ts';
import type { WriteStore } from '../../model/store.ts';
import { counted } from '../../report/format.ts';
import type { ImageState } from '../../status/states.ts';
import type { ImageStatus } from '../../status/status.ts';
import type { Session } from '../session.ts';
import type { EcrSide } from './sides.ts';
import type { DeletedImages } from './work.ts';

/** Names of what is gone at the source, as a list shows them. */
export function deletionLines(deleted: readonly DeletedImages[]): readonly string[] {
  return deleted.flatMap(({ repository, whole, tags, digests }) => [
    ...tags.map(({ label }) => `${repository}:${label}`),
    ...digests.map((digest) => `${repository}@${digest} (untagged)`),
    ...(whole ? [`${repository} (the whole repository)`] : []),
  ]);
}

/** The status of images that were deleted. Untagged manifests have none. */
export function deletionStatuses(
  deleted: readonly DeletedImages[],
  host: string,
  sourceHost: string,
  state: ImageState,
  when: string,
): readonly ImageStatus[] {
  return deleted.flatMap(({ repository, tags }) =>
    tags.map(({ label, digest }) => ({
      target: `${host}/${repository}:${label}`,
      source: `${sourceHost} (deleted there)`,
      digest,
      state,
      tries: 0,
      started: when,
      finished: when,
      error: null,
    })),
  );
}

/** Deletes at the destination. @returns what could not be deleted */
export async function prune(
  session: Session,
  { aws, registryId, host }: EcrSide<WriteStore>,
  deleted: readonly DeletedImages[],
): Promise<readonly Failure[]> {
  const ecr = () => aws.ecr();
  const registry = repositories(ecr, registryId);
  const failures: Failure[] = [];
  for (const { repository, arn, whole, tags, digests } of deleted) {
    try {
      if (whole) await registry.delete({ name: repository, arn }, session.signal);
      else {
        const images = { tags: tags.map(({ label }) => label), digests };
        const refused = await deleteImages(ecr, registryId, repository, images, session.signal);
        failures.push(...refused.map((reason) => kept(host, reason)));
      }
      const message = whole
        ? `deleted ${repository} and ${counted(tags.length, 'tag')} in it`
        : `deleted ${counted(tags.length, 'tag')} and ${counted(digests.length, 'untagged manifest')} of ${repository}`;
      session.reporter.emit({ type: 'notice', level: 'info', message });
    } catch (error) {
      failures.push(failureOf(`${host}/${repository}`, toReplicationError(error, { side: 'target', host })));
    }
  }
  return failures;
}

function kept(host: string, reason: string): Failure {
  const [reference = ''] = reason.split(': ');
  const error = new ReplicationError('conflict', `ECR keeps ${reason}`, {
    side: 'target',
    reference: `${host}/${reference}`,
    host,
    remedy: 'delete what refers to it, or leave it',
  });
  return failureOf(`${host}/${reference}`, error);
}
