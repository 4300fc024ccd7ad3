import { join, resolve } from 'node:path';
import { ReplicationError } from '../../model/errors.ts';
import { isMirrorDatabase, mirrorStatus } from '../../mirror/mirror-status.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { counted } from '../../report/format.ts';
import { type ImageState, imageStates } from '../../status/states.ts';
import type { ImageStatus } from '../../status/status.ts';
import { parseStatusLocation } from '../../status/status-location.ts';
import { openStatus } from '../ecr/open-status.ts';
import { awsPool } from '../ecr/sides.ts';
import { variable } from '../environment.ts';
import type { JobResult, Session } from '../session.ts';

export interface StatusOptions {
  readonly out: string;
  readonly store?: string;
  readonly state?: readonly ImageState[];
  readonly region?: string;
  readonly json?: boolean;
}

/** Shows the status of each image, as the last run of `ecr` or `mirror` has left it, and writes it to `status.json`. */
export async function runStatus(session: Session, options: StatusOptions): Promise<JobResult> {
  const location = parseStatusLocation(options.store ?? `sqlite:${join(options.out, 'status.db')}`);
  const pool = awsPool(session);
  try {
    const store =
      location.kind === 'sqlite' && (await isMirrorDatabase(location.path))
        ? await mirrorStatus(location.path)
        : await openStatus(location, {
            aws: () => pool.open(regionOf(session, options)),
            readOnly: true,
            createTable: false,
            signal: session.signal,
            onUnsound: (message) => session.reporter.emit({ type: 'notice', level: 'warning', message }),
          });
    try {
      const statuses = await store.list({ states: options.state }, session.signal);
      if (options.json === true)
        for (const status of statuses) session.reporter.emit({ type: 'image-status', ...status });
      for (const message of [...(options.json === true ? [] : tableOf(statuses)), summaryOf(statuses)])
        session.reporter.emit({ type: 'notice', level: 'info', message });
      const files = await writeFiles(resolve(options.out), { 'status.json': jsonText(statuses) });
      return { failures: [], totals: undefined, files };
    } finally {
      await store.close();
    }
  } finally {
    await pool.close();
  }
}

function regionOf(session: Session, { region }: StatusOptions): string {
  const known = region ?? variable(session.env, 'AWS_REGION', 'AWS_DEFAULT_REGION');
  if (known !== undefined) return known;
  throw new ReplicationError('usage', 'the region of the DynamoDB table is missing', {
    remedy: 'pass --region, or set AWS_REGION',
  });
}

/** One line per image: state, tries, when, target; beneath it what went wrong. */
function tableOf(statuses: readonly ImageStatus[]): readonly string[] {
  if (statuses.length === 0) return [];
  const width = Math.max(...statuses.map(({ state }) => state.length));
  const line = (state: string, tries: string, when: string, target: string): string =>
    `${state.padEnd(width)}  ${tries.padStart(5)}  ${when.padEnd(20)}  ${target}`;
  return [
    line('state', 'tries', 'when (UTC)', 'target'),
    ...statuses.map((each) => {
      const when = (each.finished ?? each.started).replace(/\.\d+Z$/, 'Z');
      const text = line(each.state, String(each.tries), when, each.target);
      return each.error === null ? text : `${text}\n${each.error}`;
    }),
  ];
}

function summaryOf(statuses: readonly ImageStatus[]): string {
  const counts = imageStates.flatMap((state) => {
    const count = statuses.filter((each) => each.state === state).length;
    return count === 0 ? [] : [`${count} ${state}`];
  });
  return counts.length === 0 ? 'no images' : `${counted(statuses.length, 'image')}: ${counts.join(', ')}`;
}
