import { resolve } from 'node:path';
import { ReplicationErrors, toReplicationError } from '../../model/errors.ts';
import { type Plan, planVersion } from '../../model/plan.ts';
import { failureOf } from '../../model/result.ts';
import { checkTargetRepository } from '../../model/target-name.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { valuesWith } from '../../sources/chart/extract.ts';
import { changedSettings, keyedValues } from '../../sources/chart/keyed-values.ts';
import type { Naming } from '../../sources/chart/naming.ts';
import { planImages, type Wanted } from '../../sources/chart/plan.ts';
import { newestTagAt } from '../../sources/chart/tag-at-source.ts';
import { updatedValues } from '../../sources/chart/updated-values.ts';
import { type ChartProof, proveUpdatedValues } from '../chart-proof.ts';
import { leaveChartLock, runLockedChart, type ValuesUpdate } from '../chart-lock.ts';
import { type ChartCommand, type ChartSettings, chartSettings, writeUpdatedValues } from '../chart-settings.ts';
import { chartStage, type ChartRun, digestAtSource, type ExtractedChart, listStage, nameAll } from '../chart-stages.ts';
import { type ChartSurroundings, openSurroundings } from '../chart-surroundings.ts';
import { announcePlan } from '../announce.ts';
import { imageRequest } from '../copy-requests.ts';
import { tellEstimate } from '../plan-estimate.ts';
import { replicate } from '../replicate.ts';
import type { JobResult, Session } from '../session.ts';

/**
 * The application chart's job (sync_to_aws_ecr.sh): images of a chart rendered with its values, of lists and of code
 * collections go to the registry under one prefix, and a values file that names them there is left.
 */
export async function runChart(session: Session, command: ChartCommand): Promise<JobResult> {
  if (command.lock !== undefined) return runLockedChart(session, command, command.lock);
  const settings = await chartSettings(command, session.env, new Date());
  session.reporter.emit({ type: 'phase', phase: 'plan' });
  const around = await openSurroundings(session, { ...command, region: settings.region });
  try {
    return await runIn(chartRun(session, settings, around, command.verbose === true), command);
  } finally {
    await around.close();
  }
}

function chartRun(session: Session, settings: ChartSettings, around: ChartSurroundings, verbose: boolean): ChartRun {
  const failures: ChartRun['failures'] = [];
  const notice: ChartRun['notice'] = (level, message) => session.reporter.emit({ type: 'notice', level, message });
  const base = `${around.target.host}/${around.target.path}`;
  const naming: Naming = {
    base,
    root: settings.prefix === '' ? base : `${base}${settings.prefix}/`,
    tags: settings.tags,
    newest: (registry, repository) => newestTagAt(around.store(registry), repository, session.signal),
    detail: (message) => {
      if (verbose) notice('info', message);
    },
    failed: (source, error) => failures.push(failureOf(source, error)),
  };
  session.reporter.emit({ type: 'run-started', job: 'chart', target: naming.root });
  return { session, settings, around, naming, failures, notice };
}

/** Everything about the run that is known before anything moves, and the files that it has left so far. */
interface PlannedChart {
  readonly chart: ExtractedChart | undefined;
  readonly plan: Plan;
  readonly images: Awaited<ReturnType<typeof planImages>>;
  readonly update: ReturnType<typeof valuesUpdate>;
  /** Text of the updated values file. */
  readonly updated: ReturnType<typeof updatedValues> | undefined;
  readonly files: string[];
}

async function runIn(run: ChartRun, command: ChartCommand): Promise<JobResult> {
  const { session, around, failures, notice } = run;
  const planned = await planChart(run, command);
  const { images, files } = planned;
  const requests = images.map((image) => imageRequest(image, around.store, () => around.target.store));
  if (command.plan === true) {
    const proof = await prove(run, planned, command, undefined);
    for (const { source, targets } of images) notice('info', `${source} -> ${targets.join(', ')}`);
    failures.push(...(await tellEstimate(session, requests)));
    return { failures, totals: undefined, files, report: reportOf(planned, proof) };
  }
  const replication = await replicate(session, { images: requests, charts: [], verify: true });
  failures.push(...replication.failures);
  for (const message of replication.notices) notice('warning', message);
  const stopped = session.admission.aborted;
  const proof = stopped ? undefined : await prove(run, planned, command, around.target.store).catch(noted(run));
  if (failures.length === 0 && session.admission.aborted)
    failures.push(failureOf('run', toReplicationError(session.admission.reason)));
  if (failures.length === 0) {
    const { chart, update } = planned;
    const lockable = { images, chart, update, uncontrolled: proof?.warnings ?? [], outcomes: replication.outcomes };
    files.push(...((await leaveChartLock(run, lockable, command.out).catch(noted(run))) ?? []));
  }
  return { failures, totals: replication.totals, files, report: reportOf(planned, proof) };
}

async function planChart(run: ChartRun, command: ChartCommand): Promise<PlannedChart> {
  const { session, settings, around } = run;
  const chart = await chartStage(run);
  const { wanted, keyed } = await nameAll(run, await listStage(run, chart !== undefined));
  const all = [...(chart === undefined ? [] : wantedOf(chart)), ...wanted];
  for (const { target } of all) checkTargetRepository(target);
  const images = await planImages(all, settings.platforms, (source) =>
    digestAtSource(around.store, source, session.signal),
  );
  for (const { source, targets } of images) run.naming.detail(`${source} -> ${targets.join(', ')}`);
  const update = valuesUpdate(run, chart, keyed);
  const updated = update && updatedValues(settings.valuesFiles, update.settings, update.effective);
  const plan: Plan = { version: planVersion, job: 'chart', images: [...images], charts: [] };
  announcePlan(session.reporter, plan);
  const files = [...(await writePlan(plan, updated, chart, settings, command))];
  return { chart, plan, images, update, updated, files };
}

/**
 * Renders the chart with the updated values and nothing else, and leaves isolation.json.
 * @param store where the images have to be by now; `undefined` before they are copied
 */
async function prove(
  { session, settings, around, failures, notice }: ChartRun,
  { chart, images, updated, files }: PlannedChart,
  command: ChartCommand,
  store: ChartRun['around']['target']['store'] | undefined,
): Promise<ChartProof | undefined> {
  if (chart === undefined || updated === undefined) return undefined;
  const planned = new Set(images.flatMap(({ targets }) => targets));
  const request = { chart, updated, registry: around.target.host, planned, store, signal: session.signal };
  const proof = await proveUpdatedValues(request, settings.uncontrolled);
  for (const message of proof.warnings) notice('warning', message);
  failures.push(...proof.failures.map((error) => failureOf(error.reference ?? 'chart', error)));
  files.push(...(await writeFiles(resolve(command.out), { 'isolation.json': jsonText([proof.isolation]) })));
  return proof;
}

function reportOf({ plan }: PlannedChart, proof: ChartProof | undefined): JobResult['report'] {
  return { plan, charts: proof === undefined ? [] : [proof.isolation] };
}

/** What the copy did is told whatever becomes of the steps behind it. */
function noted({ failures }: ChartRun): (error: unknown) => undefined {
  return (error) => {
    const all = error instanceof ReplicationErrors ? error.errors : [toReplicationError(error)];
    failures.push(...all.map((each) => failureOf(each.reference ?? 'chart', each)));
    return undefined;
  };
}

function wantedOf({ ready, extraction }: ExtractedChart): readonly Wanted[] {
  return extraction.images.flatMap(({ copies, place }) =>
    copies.map(({ source, target }) => ({
      source,
      target,
      origin: { path: `${ready.chart.name} ${ready.chart.version}: ${place}` },
    })),
  );
}

/** `undefined` when there is neither a chart nor a values file: then nobody knows what values there are. */
function valuesUpdate(
  { settings, notice, naming }: ChartRun,
  chart: ExtractedChart | undefined,
  keyed: Parameters<typeof keyedValues>[0],
): ValuesUpdate | undefined {
  if (chart === undefined && settings.valuesFiles.length === 0) {
    notice('info', 'no updated values file, as there is neither a chart nor --values');
    return undefined;
  }
  const effective = chart?.extraction.effective ?? settings.values;
  const own = chart === undefined ? [] : changedSettings(chart.extraction.overrides, effective);
  const byKey = keyedValues(keyed, chart === undefined ? effective : valuesWith(chart.extraction));
  for (const message of byKey.notices) notice('warning', message);
  for (const { path, value } of [...own, ...byKey.settings]) naming.detail(`value ${path.join('.')}: ${value}`);
  return { settings: [...own, ...byKey.settings], effective };
}

/** Files that a run leaves before anything moves. */
async function writePlan(
  plan: Plan,
  updated: string | undefined,
  chart: ExtractedChart | undefined,
  settings: ChartSettings,
  { out, keepRendered }: ChartCommand,
): Promise<readonly string[]> {
  const folder = resolve(out);
  const left = [...(await writeFiles(folder, { 'plan.json': jsonText(plan) }))];
  if (updated !== undefined) left.push(...(await writeUpdatedValues(updated, settings, out)));
  if (chart === undefined || keepRendered !== true) return left;
  const { rendered, images } = chart.extraction;
  const list = images.map(({ reference }) => reference).sort();
  return [
    ...left,
    ...(await writeFiles(folder, { 'rendered_chart.yaml': rendered, 'helm_chart_images.txt': `${list.join('\n')}\n` })),
  ];
}
