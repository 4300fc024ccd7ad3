import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { fillRegistry, pointTags } from '../corpus/fill.ts';
import { type CorpusName, planCorpus } from '../corpus/plan.ts';
import { benchCommand, type BenchStreams } from '../command-line.ts';
import { describeMachine } from '../measure/machine.ts';
import { leaveFigures } from '../report/figures.ts';
import { registryApi } from '../registry/api.ts';
import type { SideProfile } from '../relay/profile.ts';
import { startRelay } from '../relay/relay.ts';
import { type FleetRun, measureFleet } from './measure.ts';
import { type FleetReport, renderFleet, writeFloor } from './report.ts';
import { startRegistryProcess } from './stand-ins.ts';

interface Options {
  readonly workers: readonly number[];
  readonly scale: number;
  readonly concurrency: number;
  readonly bandwidth: number;
  readonly rtt: number;
  readonly seed: string;
  readonly json?: string;
  readonly markdown?: string;
}

/** Images of several layers that share bases, and many of little: bound by bytes, and by the limit on writes. */
const corpora: readonly CorpusName[] = ['eks', 'small'];

/**
 * `bench fleet`: workers that copy the shards of one run at the same time, each a process of its own, from a registry
 * behind a slow line into a registry with ECR's limit on writes.
 * @param argv arguments behind `fleet`
 * @returns exit status: 0, or 1 when something did not arrive or too much was refused, 130 when interrupted
 */
export async function fleet(argv: readonly string[], streams: BenchStreams, interrupt: AbortSignal): Promise<number> {
  const { stdout, stderr } = streams;
  const options = program(streams)
    .parse([...argv], { from: 'user' })
    .opts<Options>();
  const startedAt = new Date().toISOString();
  const measured: FleetReport['corpora'][number][] = [];
  try {
    for (const corpus of corpora)
      measured.push(await measureCorpus(corpus, options, (text) => void stderr.write(`${text}\n`), interrupt));
  } catch (error) {
    if (!interrupt.aborted) throw error;
  }
  const { seed, scale, concurrency, rtt: rttMs, bandwidth } = options;
  const report: FleetReport = {
    kind: 'image-replication/bench-fleet',
    version: 1,
    startedAt,
    machine: describeMachine(),
    seed,
    scale,
    concurrency,
    connection: { rttMs, bytesPerSecond: bandwidth * 1e6 },
    corpora: measured,
  };
  await leaveFigures(report, renderFleet, stdout, options);
  if (interrupt.aborted) return 130;
  const runs = measured.flatMap((corpus) => corpus.runs);
  return runs.every(isAsPromised) ? 0 : 1;
}

/** All arrived; with a shared budget less than 2 % of the writes were refused. */
export function isAsPromised({ complete, budget, manifests, refused }: FleetRun): boolean {
  return complete && (!budget || refused <= 0.02 * (manifests + refused));
}

async function measureCorpus(
  name: CorpusName,
  options: Options,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<FleetReport['corpora'][number]> {
  const folder = await mkdtemp(join(tmpdir(), `image-replication-bench-fleet-${process.pid}-`));
  const source = await startRegistryProcess(folder, 'source', { manners: 'plain' });
  const relay = await startRelay();
  const api = registryApi(source.host, signal);
  try {
    const filled = await fillRegistry(planCorpus(name, options), api);
    await pointTags(filled, 'first', api);
    const blobs = new Map(
      filled.flatMap(({ first }) => first.blobs.map(({ digest, size }) => [digest, size] as const)),
    );
    const manifests = filled.reduce((sum, { first }) => sum + first.children.length + 1, 0);
    const images = filled.map(({ repository, tag }) => `${repository}:${tag}`);
    note(`${name}: ${images.length} images; the limit on writes asks for ${writeFloor(manifests).toFixed(1)} s`);
    const { concurrency } = options;
    const stage = { source, relay, profile: profileOf(options), images, concurrency, folder, signal };
    const runs: FleetRun[] = [];
    for (const [workers, budget] of [
      ...options.workers.map((count) => [count, true] as const),
      [Math.max(...options.workers), false] as const,
    ]) {
      const run = await measureFleet(stage, workers, budget);
      runs.push(run);
      note(`  ${workers}${budget ? '' : ' without budget'}: ${run.seconds.toFixed(1)} s, ${run.refused} refused`);
    }
    const bytes = [...blobs.values()].reduce((sum, size) => sum + size, 0);
    return { name, images: images.length, manifests, bytes, runs };
  } finally {
    await api.close();
    await Promise.all([relay.close(), source.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
}

function profileOf({ rtt, bandwidth }: Options): SideProfile {
  const bytesPerSecond = bandwidth * 1e6;
  return { rttMs: rtt, handshakeRtts: 2, bytesPerSecond, manifestPuts: undefined, refuseMounts: false };
}

function program(streams: BenchStreams): Command {
  const number = (flags: string, description: string, preset: number): Option =>
    new Option(flags, description).default(preset).argParser(positive);
  return benchCommand('bench fleet', streams)
    .description('Lets workers copy the shards of a run at the same time, and counts what that costs.')
    .addOption(
      new Option('--workers <list>', 'numbers of workers')
        .default([1, 2, 4], '1,2,4')
        .argParser((text) => text.split(',').map((word) => Math.ceil(positive(word)))),
    )
    .addOption(number('--scale <x>', 'share of the full size, in bytes; images shrink with its root', 0.15))
    .addOption(number('--concurrency <n>', 'blobs that a worker moves at the same time', 4))
    .addOption(number('--bandwidth <n>', 'megabytes a second of one connection to the source', 2))
    .addOption(number('--rtt <ms>', 'round trip to the source', 40))
    .option('--seed <text>', 'another seed makes other images of the same kind', 'bench')
    .option('--json <file>', 'write the figures to a file')
    .option('--markdown <file>', 'write the tables to a file');
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  throw new InvalidArgumentError('Expected a number above 0.');
}
