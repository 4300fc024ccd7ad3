import { type Command, InvalidArgumentError, Option } from 'commander';
import { counted, formatBytes } from '../../src/report/format.ts';
import { mostShards } from '../../src/shards/partition.ts';
import type { ShardInput } from '../../src/shards/work.ts';
import { benchCommand, type BenchStreams, positiveInteger } from '../command-line.ts';
import { describeMachine } from '../measure/machine.ts';
import { leaveFigures } from '../report/figures.ts';
import { planFleetCorpus } from './corpus.ts';
import { measureSplit, type SplitRun } from './measure.ts';
import { renderShards, type ShardsReport } from './report.ts';

interface Options {
  readonly images: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly counts: readonly (number | 'auto')[];
  readonly workers: number;
  readonly seed: string;
  readonly json?: string;
  readonly markdown?: string;
}

/**
 * `bench shards`: how well a large plan is split over workers, how long that takes, and whether Step Functions can run it.
 * @param argv arguments behind `shards`
 * @returns exit status: 0, or 1 when something is not as promised, 130 when interrupted
 */
export async function shards(argv: readonly string[], streams: BenchStreams, interrupt: AbortSignal): Promise<number> {
  const { stdout, stderr } = streams;
  const options = program(streams)
    .parse([...argv], { from: 'user' })
    .opts<Options>();
  const startedAt = new Date().toISOString();
  const inputs = planFleetCorpus(options);
  const corpus = corpusFigures(inputs);
  stderr.write(`${counted(corpus.images, 'image')}, ${formatBytes(corpus.bytes)}\n`);
  const runs: SplitRun[] = [];
  for (const count of options.counts) {
    // Signals are heard between splits.
    await new Promise(setImmediate);
    if (interrupt.aborted) break;
    runs.push(measureSplit(inputs, { count, workers: options.workers }, options.seed));
    stderr.write(`  ${count}: ${runs.at(-1)?.plannedIn.toFixed(1) ?? ''} s\n`);
  }
  const report: ShardsReport = {
    kind: 'image-replication/bench-shards',
    version: 1,
    startedAt,
    machine: describeMachine(),
    seed: options.seed,
    corpus,
    runs,
  };
  await leaveFigures(report, renderShards, stdout, options);
  if (interrupt.aborted) return 130;
  return runs.every(({ wrong }) => wrong.length === 0) ? 0 : 1;
}

function program(streams: BenchStreams): Command {
  const number = (flags: string, description: string, preset: number): Option =>
    new Option(flags, description).default(preset).argParser(positiveInteger);
  return benchCommand('bench shards', streams)
    .description('Splits a large plan over workers, as `--shards` does, and compares that with what is possible.')
    .addOption(number('--images <n>', 'images of the plan', 10_000))
    .addOption(number('--blobs <n>', 'unique blobs of all images, at least', 100_000))
    .addOption(number('--bytes <n>', 'bytes of the unique blobs', 20e12))
    .addOption(
      new Option('--counts <list>', 'numbers of shards, and auto')
        .default([2, 4, 10, 100, 400, 1000, 'auto'], '2,4,10,100,400,1000,auto')
        .argParser((text) => text.split(',').map((word) => (word.trim() === 'auto' ? 'auto' : shardCount(word)))),
    )
    .addOption(number('--workers <n>', 'workers at the same time, for auto', 10))
    .option('--seed <text>', 'another seed makes other images of the same kind', 'bench')
    .option('--json <file>', 'write the figures to a file')
    .option('--markdown <file>', 'write the table to a file');
}

function shardCount(text: string): number {
  const value = positiveInteger(text);
  if (value <= mostShards) return value;
  throw new InvalidArgumentError(`Expected at most ${mostShards}.`);
}

function corpusFigures(inputs: readonly ShardInput[]): ShardsReport['corpus'] {
  const sizes = new Map(inputs.flatMap(({ blobs }) => blobs.map(({ digest, size }) => [digest, size] as const)));
  const alone = inputs.map(({ blobs }) => sum(new Map(blobs.map(({ digest, size }) => [digest, size])).values()));
  return {
    images: inputs.length,
    manifests: sum(inputs.map(({ manifests }) => manifests)),
    blobs: sizes.size,
    bytes: sum(sizes.values()),
    referencedBytes: sum(alone),
    largestImageBytes: alone.reduce((most, bytes) => Math.max(most, bytes), 0),
  };
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
