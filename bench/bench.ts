import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReplicationError } from '../src/model/errors.ts';
import { formatBytes } from '../src/report/format.ts';
import { fillRegistry } from './corpus/fill.ts';
import { blobBytes } from './corpus/layer-bytes.ts';
import { type CorpusName, type CorpusPlan, planCorpus } from './corpus/plan.ts';
import { registryApi } from './registry/api.ts';
import { startRegistry } from './registry/process.ts';
import { startRelayProcess } from './relay/control.ts';
import type { ProfileName } from './relay/profile.ts';
import type { Run, ScenarioName } from './run.ts';
import { findProgram, findTool, type Tool, type ToolName, versionOf } from './tools.ts';
import { runTrial, type Stage } from './trial.ts';

export interface BenchSettings {
  readonly corpora: readonly CorpusName[];
  readonly profiles: readonly ProfileName[];
  readonly scenarios: readonly ScenarioName[];
  readonly tools: readonly ToolName[];
  readonly repetitions: number;
  readonly scale: number;
  readonly seed: string;
  readonly timeoutSeconds: number;
  /** For what the tools say and leave. */
  readonly out: string;
}

const warmUpImages = 200;
/** Tells whose a folder is, should one be left by a benchmark that was killed. */
const folderPrefix = `image-replication-bench-${process.pid}-`;

export interface BenchWatcher {
  note(text: string): void;
  finished(run: Run): void;
}

export interface FoundTools {
  readonly tools: readonly Tool[];
  readonly registryBinary: string;
  readonly registryVersion: string;
}

/** Finds what the settings name. An absent peer is told and left out. @throws ReplicationError `usage` without a registry */
export async function findTools(names: readonly ToolName[], note: (text: string) => void): Promise<FoundTools> {
  const registryBinary = findProgram('registry');
  if (registryBinary === undefined)
    throw new ReplicationError(
      'usage',
      'the benchmark needs the distribution registry, and found no program `registry`',
      {
        remedy: 'run npm run setup, which puts one into .tools/bin, or have one on PATH',
      },
    );
  const tools: Tool[] = [];
  for (const name of names) {
    const found = await findTool(name);
    if ('missing' in found) note(`SKIPPED ${found.missing}`);
    else tools.push(found);
  }
  if (tools.length === 0) throw new ReplicationError('usage', 'none of the tools that were named is there');
  return { tools, registryBinary, registryVersion: await versionOf(registryBinary, '--version') };
}

/** Runs everything that the settings name. Every process and temporary folder is gone afterwards, whatever happens. */
export async function runBench(
  settings: BenchSettings,
  { tools, registryBinary }: FoundTools,
  watcher: BenchWatcher,
  signal: AbortSignal,
): Promise<void> {
  const relays = { source: startRelayProcess('source'), target: startRelayProcess('target') };
  try {
    for (const corpus of settings.corpora) {
      const plan = planCorpus(corpus, settings);
      await withStage({ plan, relays, registryBinary, signal }, watcher, async (stage, targetFolder) => {
        for (const { profile, repetition, tool } of order(settings, tools)) {
          watcher.note(`${corpus} ${profile}, repetition ${repetition}: ${tool.title}`);
          const { scenarios, timeoutSeconds, out: outFolder } = settings;
          const trial = { tool, profile, repetition, scenarios, timeoutSeconds, outFolder, targetFolder };
          await runTrial(stage, trial, (run) => watcher.finished(run));
        }
      });
    }
  } finally {
    await Promise.all([relays.source.stop(), relays.target.stop()]);
  }
}

interface Turn {
  readonly profile: ProfileName;
  readonly repetition: number;
  readonly tool: Tool;
}

/** Every tool once in each repetition, each time another one first: what comes first finds the machine in another state. */
export function order(
  settings: Pick<BenchSettings, 'profiles' | 'repetitions'>,
  tools: readonly Tool[],
): readonly Turn[] {
  return settings.profiles.flatMap((profile) =>
    Array.from({ length: settings.repetitions }, (_, index) => index).flatMap((index) => {
      const first = index % Math.max(1, tools.length);
      const rotated = [...tools.slice(first), ...tools.slice(0, first)];
      return rotated.map((tool) => ({ profile, repetition: index + 1, tool }));
    }),
  );
}

type StageParts = Pick<Stage, 'relays' | 'registryBinary' | 'signal'> & { readonly plan: CorpusPlan };

async function withStage(
  { plan, relays, registryBinary, signal }: StageParts,
  watcher: BenchWatcher,
  work: (stage: Stage, targetFolder: string) => Promise<void>,
): Promise<void> {
  const disk = await mkdtemp(join(tmpdir(), folderPrefix));
  const bytes = corpusBytes(plan);
  const memory = await memoryFolder(bytes);
  try {
    const source = await startRegistry({ binary: registryBinary, folder: join(disk, 'source'), signal });
    const sourceApi = registryApi(source.host, signal);
    try {
      watcher.note(`filling the source with ${plan.name}: ${plan.images.length} images, ${formatBytes(bytes)}`);
      if (memory === undefined) watcher.note('the target is on disk: no room in /dev/shm');
      const images = await fillRegistry(plan, sourceApi);
      const stage = { corpus: plan.name, images, source, sourceApi, relays, registryBinary, signal };
      await warmUp(stage);
      await work(stage, join(memory ?? disk, 'target'));
    } finally {
      await sourceApi.close();
      await source.stop();
    }
  } finally {
    await rm(disk, { recursive: true, force: true });
    if (memory !== undefined) await rm(memory, { recursive: true, force: true });
  }
}

/** The first run shall not find relays whose code was never run: sends every image's manifests and a blob through both. */
async function warmUp({ images, source, relays, signal }: Stage): Promise<void> {
  for (const relay of [relays.source, relays.target]) {
    const through = registryApi(await relay.point(source.port, 'loopback'), signal);
    try {
      for (let passed = 0; passed < warmUpImages; passed += 1) {
        const image = images[passed % images.length];
        const blob = image?.first.blobs.find(({ size }) => size < 1e6);
        if (image === undefined) continue;
        await through.manifest(image.repository, image.first.top.digest);
        if (blob !== undefined) await through.blobDigest(image.repository, blob.digest);
      }
    } finally {
      await through.close();
    }
  }
}

/** Of all unique layers, both versions. */
function corpusBytes(plan: CorpusPlan): number {
  const layers = plan.images.flatMap(({ first, moved }) => [...first, ...(moved ?? [])]).flatMap((each) => each.layers);
  const sizes = new Map(layers.map((layer) => [layer.content, blobBytes(layer)]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** A target on a disk would be what is measured: a folder in memory, where there is room for one and a half corpora. */
async function memoryFolder(bytes: number): Promise<string | undefined> {
  try {
    const { bavail, bsize } = await statfs('/dev/shm');
    return bavail * bsize > bytes * 1.5 ? await mkdtemp(join('/dev/shm', folderPrefix)) : undefined;
  } catch {
    return undefined;
  }
}
