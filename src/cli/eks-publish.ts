import type { Aws } from '../aws/clients.ts';
import { accountId } from '../aws/identity.ts';
import { objectStore } from '../aws/s3.ts';
import { inventoryOf, sideObjectName } from '../model/inventory.ts';
import { toReplicationError } from '../model/errors.ts';
import type { ChartIsolation } from '../model/isolation.ts';
import type { Lock } from '../model/lock.ts';
import type { Plan } from '../model/plan.ts';
import type { Totals } from '../model/result.ts';
import { splitTarget } from '../model/target-name.ts';
import { jsonText, writeFiles } from '../publish/files.ts';
import { lockObject } from '../publish/lock.ts';
import { resultMetadata } from '../publish/metadata.ts';
import { bucketName, objectName } from '../publish/names.ts';
import { type Publication, publishResult } from '../publish/s3.ts';
import { formatResult, type ReplicationResult } from '../sources/eks/result.ts';
import type { EksSettings } from './eks-settings.ts';
import { reportFiles } from './report-files.ts';
import type { JobResult, Session } from './session.ts';

/** A run of the EKS job that went well, once everything is copied, verified, proven and locked. */
export interface FinishedRun {
  readonly plan: Plan;
  readonly result: ReplicationResult;
  /** After the proof. */
  readonly isolation: readonly ChartIsolation[];
  readonly lock: Lock;
  readonly totals: Totals | undefined;
  /** References that no value moves. */
  readonly gap: number;
  /** Paths of the files that it has left so far. */
  readonly files: readonly string[];
  /** What its report tells. */
  readonly report: NonNullable<JobResult['report']>;
}

/**
 * Puts the result into the project's bucket, with lock, proof and inventory beside it, then the report, and leaves the metadata
 * for Seed-Farmer. The local result becomes the published one, which names its lock.
 * @returns paths of the files that it left
 */
export async function publishRun(
  session: Session,
  settings: EksSettings,
  aws: Aws,
  out: string,
  run: FinishedRun,
): Promise<readonly string[]> {
  session.reporter.emit({ type: 'phase', phase: 'publish' });
  const account = await accountId(aws, settings.accountId, session.signal);
  const bucket = bucketName(settings.project, settings.region, account);
  const key = objectName(settings.deployment, settings.module);
  const lock = lockObject(key, run.lock);
  const body = formatResult({ ...run.result, lock: lock.reference });
  const s3 = objectStore(aws, account);
  await publishResult({
    s3,
    bucket,
    key,
    body,
    extra: [
      { key: sideObjectName(key, 'inventory'), body: inventoryText(settings, run.plan) },
      { key: lock.key, body: lock.body },
      { key: sideObjectName(key, 'proof'), body: jsonText(run.isolation) },
    ],
    signal: session.signal,
  });
  await publishReport(session, s3, bucket, await reportObjects(session, key, run));
  const values = { ...resultMetadata(bucket, key), ...(run.gap > 0 ? { IsolationGap: String(run.gap) } : {}) };
  const [metadata = ''] = await writeFiles(out, { 'metadata.json': jsonText(values), 'replication_result.json': body });
  session.reporter.emit({ type: 'notice', level: 'info', message: `published s3://${bucket}/${key}` });
  return [metadata];
}

function inventoryText({ project, deployment, module }: EksSettings, plan: Plan): string {
  const targets = [...plan.images.flatMap((image) => image.targets), ...plan.charts.map((chart) => chart.target)];
  const repositories = targets.map((each) => splitTarget(each).repository);
  return jsonText(inventoryOf({ project, deployment, module, repositories }));
}

/** The result is in force by now, and whole without a report: that one cannot be stored is told, and ends no run. */
async function publishReport(
  session: Session,
  s3: Publication['s3'],
  bucket: string,
  objects: Publication['extra'],
): Promise<void> {
  try {
    for (const { key, body, contentType = 'application/json' } of objects)
      await s3.put(bucket, key, { body, contentType }, session.signal);
  } catch (error) {
    const message = `the result is published, but its report is not, and an older one may lie beside it: ${toReplicationError(error).message}`;
    session.reporter.emit({ type: 'notice', level: 'warning', message });
  }
}

/** The report tells the run up to here: it is stored once the result is, so the run is told as the one that has ended well. */
async function reportObjects(session: Session, key: string, run: FinishedRun): Promise<Publication['extra']> {
  const ending = { ok: true, totals: run.totals, failures: [], files: run.files };
  const record = session.recorder.record(ending);
  const { html, json, markdown } = await reportFiles({ record, mask: session.mask, ...run.report });
  const name = (extension: Parameters<typeof sideObjectName>[2]): string => sideObjectName(key, 'report', extension);
  return [
    { key: name('json'), body: json },
    { key: name('html'), body: html, contentType: 'text/html; charset=utf-8' },
    { key: name('md'), body: markdown, contentType: 'text/markdown; charset=utf-8' },
  ];
}

/** What lies at the target, by artifact as reports name it. */
export function sizesOf(lock: Lock): ReadonlyMap<string, number> {
  return new Map([
    ...lock.images.map(({ source, size }) => [source, size] as const),
    ...lock.charts.map(({ name, version, size }) => [`chart ${name} ${version}`, size] as const),
  ]);
}
