import type { AccessTable } from '../../fleet/shard.ts';
import { locate, parseReference } from '../../model/reference.ts';
import type { CopyRequest } from '../../copy/request.ts';
import { splitTarget } from '../../model/target-name.ts';
import type { Opened } from '../ecr/open-job.ts';
import type { EcrSettings } from '../ecr/settings.ts';
import { filledFrom, originTags, type Surroundings } from '../ecr/sides.ts';
import type { AbsentImage } from '../ecr/work.ts';
import type { JobResult } from '../session.ts';
import { accessOf } from './access.ts';
import { leaveShards } from './write-shards.ts';

/**
 * Writes the shards of what comparing both registries has shown. An image that is not at the source is in one, too: its worker
 * says that it is not there, or finds it, when that shard is run again.
 */
export async function shardEcr(
  around: Surroundings,
  settings: EcrSettings,
  sharding: NonNullable<EcrSettings['sharding']>,
  { work, destination, source, loginHost }: Opened,
): Promise<JobResult> {
  const { session, home } = around;
  const absent =
    source === undefined ? [] : work.absent.map((image) => requestOf(image, source.store, destination.store));
  const origin = source === undefined ? undefined : filledFrom(source.host, settings.prefix);
  const { statusStore } = sharding;
  return leaveShards(session, sharding, {
    job: 'ecr',
    requests: [...work.copy, ...absent],
    // Listings of both sides were compared, unless platforms are cut out or every image is asked for.
    compared: source !== undefined && settings.platforms === 'all' && !settings.once,
    unchanged: work.unchanged.length,
    failures: work.failures,
    settings: {
      region: home.region,
      access: sourceAccess(settings, source?.host, loginHost),
      targets: 'region' in settings.destination ? { [destination.host]: accessOf(settings.destination) } : {},
      verify: settings.once,
      referrers: true,
      repositoryTags: { ...originTags(origin) },
      ...(statusStore === undefined ? {} : { status: statusStore }),
    },
  });
}

function sourceAccess({ source }: EcrSettings, host: string | undefined, loginHost: string | undefined): AccessTable {
  if (source.type === 'Amazon_ECR') return host === undefined ? {} : { [host]: accessOf(source.place) };
  if (source.type === 'Public' || source.login === undefined || loginHost === undefined) return {};
  return { [loginHost]: { kind: 'registry', credential: { kind: 'parameter', name: source.login } } };
}

function requestOf(
  image: AbsentImage,
  source: CopyRequest['source']['store'],
  target: CopyRequest['targets'][number]['store'],
): CopyRequest {
  const { repository, reference } = locate(parseReference(image.source));
  const to = splitTarget(image.target);
  return {
    artifact: image.source,
    source: { store: source, repository, reference },
    targets: [{ store: target, repository: to.repository, reference: to.tag ?? to.digest ?? reference }],
    platforms: 'all',
  };
}
