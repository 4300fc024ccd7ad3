import { dueSections } from '../../mirror/schedule.ts';
import { resolveWanted, sourceText } from '../../mirror/pass.ts';
import type { Tracking } from '../../mirror/tracking.ts';
import type { AccessTable } from '../../fleet/shard.ts';
import { failureOf } from '../../model/result.ts';
import type { MirrorFile } from '../../sources/mirror/mirror-file.ts';
import { announceRequests } from '../announce.ts';
import { mirrorRequests } from '../mirror-pass.ts';
import type { MirrorSettings } from '../mirror-settings.ts';
import { type MirrorStores, openMirrorStores } from '../mirror-stores.ts';
import type { JobResult, Session } from '../session.ts';
import type { ShardArguments } from './options.ts';
import { leaveShards } from './write-shards.ts';

/**
 * Writes the shards of what is due. The database of the mirror is looked at where it is, and left alone: workers on other
 * machines have none.
 */
export async function shardMirror(
  session: Session,
  settings: MirrorSettings,
  file: MirrorFile,
  tracking: Tracking | undefined,
  command: ShardArguments & { readonly out: string; readonly insecureHosts: readonly string[] },
): Promise<JobResult> {
  const options = { now: Date.now(), target: settings.targetKey, retryFailed: true };
  const due = dueSections(file.sections, tracking?.sections() ?? new Map(), options);
  session.reporter.emit({
    type: 'notice',
    level: 'info',
    message: `${due.length} of ${file.sections.length} sections are due`,
  });
  const stores = await openMirrorStores(session, settings);
  try {
    const { images, unresolved } = await resolveWanted(due, ({ registry, repository }) =>
      stores.source(registry).listTags(repository, session.signal),
    );
    const requests = mirrorRequests(images, stores);
    session.reporter.emit({ type: 'run-started', job: 'mirror', target: `${stores.target.name}/${stores.path}` });
    announceRequests(session.reporter, requests);
    const sections = new Map(images.map((image) => [sourceText(image), image.section]));
    const insecureHost = command.insecureHosts.length === 0 ? undefined : command.insecureHosts;
    return await leaveShards(
      session,
      { ...command, insecureHost },
      {
        job: 'mirror',
        requests,
        compared: false,
        origins: ({ artifact }) => [{ path: `[${sections.get(artifact) ?? ''}]`, file: file.file }],
        failures: unresolved.map(({ section, error }) => failureOf(`[${section}]`, error)),
        settings: {
          ...(settings.region === undefined ? {} : { region: settings.region }),
          access: {},
          targets: targetAccess(settings, stores),
          verify: false,
          referrers: true,
          ...(settings.onGoogle ? { google: true } : {}),
          ...(command.statusStore === undefined ? {} : { status: command.statusStore }),
        },
      },
    );
  } finally {
    await stores.close();
  }
}

function targetAccess({ target }: MirrorSettings, stores: MirrorStores): AccessTable {
  if (target.kind !== 'ecr') return {};
  const { region, account } = target;
  const credential = { kind: 'own' as const };
  return { [stores.target.name]: { kind: 'ecr', region, ...(account === undefined ? {} : { account }), credential } };
}
