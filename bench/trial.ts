import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FilledImage, pointTags, type Version } from './corpus/fill.ts';
import type { CorpusName } from './corpus/plan.ts';
import { machineBusySeconds, processCpuSeconds } from './measure/proc.ts';
import { type Measured, runMeasured } from './measure/run-measured.ts';
import { type RegistryApi, registryApi } from './registry/api.ts';
import { type RegistryProcess, startRegistry } from './registry/process.ts';
import type { RelayProcess } from './relay/control.ts';
import type { ProfileName } from './relay/profile.ts';
import { refusal, type Run, type ScenarioName } from './run.ts';
import { root, type Tool } from './tools.ts';
import { isComplete, verifyTarget } from './verify.ts';

/** What all tools share: a filled source, and the relays. */
export interface Stage {
  readonly corpus: CorpusName;
  readonly images: readonly FilledImage[];
  readonly source: RegistryProcess;
  readonly sourceApi: RegistryApi;
  readonly relays: Readonly<Record<'source' | 'target', RelayProcess>>;
  readonly registryBinary: string;
  readonly signal: AbortSignal;
}

export interface Trial {
  readonly tool: Tool;
  readonly profile: ProfileName;
  readonly repetition: number;
  /** After `cold`, which every trial begins with. */
  readonly scenarios: readonly ScenarioName[];
  /** For the fresh target registry; removed afterwards. */
  readonly targetFolder: string;
  /** Keeps what the tool said and left. */
  readonly outFolder: string;
  readonly timeoutSeconds: number;
}

/** One tool in one repetition: copies into a fresh registry, then whatever else is asked for into the same. */
export async function runTrial(stage: Stage, trial: Trial, finished: (run: Run) => void): Promise<void> {
  const target = await startRegistry({
    binary: stage.registryBinary,
    folder: trial.targetFolder,
    signal: stage.signal,
  });
  const targetApi = registryApi(target.host, stage.signal);
  try {
    let completeSoFar = true;
    for (const scenario of ['cold', ...trial.scenarios.filter((name) => name !== 'cold')] as const) {
      const version: Version = scenario === 'incr' ? 'moved' : 'first';
      await pointTags(stage.images, version, stage.sourceApi);
      const outcome = await runOnce(stage, trial, scenario, target);
      const lacking = await verifyTarget(stage.images, version, targetApi, scenario === 'cold');
      completeSoFar &&= outcome.exitStatus === 0 && isComplete(lacking);
      finished({ ...outcome, lacking, complete: completeSoFar });
    }
  } finally {
    await targetApi.close();
    await target.stop();
  }
}

async function runOnce(
  stage: Stage,
  trial: Trial,
  scenario: ScenarioName,
  target: RegistryProcess,
): Promise<Omit<Run, 'lacking' | 'complete'>> {
  const { corpus, images, source, relays, signal } = stage;
  const { tool, profile, repetition } = trial;
  const folder = join(trial.outFolder, `${corpus}-${profile}-${repetition}-${tool.name}-${scenario}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const [sourceHost, targetHost] = [
    await relays.source.point(source.port, profile),
    await relays.target.point(target.port, profile),
  ];
  const [command, ...args] = await tool.prepare({ images, source: sourceHost, target: targetHost, folder });
  const usage = cpuUsage([source.pid, target.pid]);
  const measured = await runMeasured({
    command,
    args,
    env: environment(folder),
    cwd: root,
    logFile: join(folder, 'log.txt'),
    timeoutSeconds: trial.timeoutSeconds,
    signal,
  });
  const [sourceSide, targetSide] = [await relays.source.report(), await relays.target.report()];
  const relayCpu = { source: sourceSide.cpuSeconds, target: targetSide.cpuSeconds };
  return {
    corpus,
    profile,
    scenario,
    repetition,
    tool: tool.name,
    title: tool.title,
    ...measured,
    refused: refusal(measured.seconds, relayCpu),
    ...usage(measured, relayCpu.source + relayCpu.target),
    source: { ...sourceSide.counters, relayCpuSeconds: relayCpu.source },
    target: { ...targetSide.counters, relayCpuSeconds: relayCpu.target },
  };
}

/** Nobody's credentials, settings and caches: a home of its own for each run. */
function environment(folder: string): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', HOME: folder, DOCKER_CONFIG: folder, XDG_RUNTIME_DIR: folder, LANG: 'C' };
}

/** Notes the CPU times now; what it returns tells who used how much since. */
function cpuUsage(
  registries: readonly number[],
): (measured: Measured, relays: number) => Pick<Run, 'registriesCpuSeconds' | 'othersCpuSeconds'> {
  const now = (): { readonly machine: number; readonly registries: number; readonly own: number } => {
    const { user, system } = process.cpuUsage();
    return {
      machine: machineBusySeconds() ?? Number.NaN,
      registries: registries.reduce((sum, pid) => sum + (processCpuSeconds(pid) ?? Number.NaN), 0),
      own: (user + system) / 1e6,
    };
  };
  const before = now();
  return ({ cpuSeconds }, relays) => {
    const after = now();
    const registriesCpuSeconds = after.registries - before.registries;
    const known = (cpuSeconds ?? Number.NaN) + relays + registriesCpuSeconds + after.own - before.own;
    const othersCpuSeconds = Math.max(0, after.machine - before.machine - known);
    // Not every system tells.
    return Number.isNaN(othersCpuSeconds) ? {} : { registriesCpuSeconds, othersCpuSeconds };
  };
}
