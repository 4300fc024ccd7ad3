import { resolve } from 'node:path';
import { type Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { exitStatusFor, toReplicationError } from '../src/model/errors.ts';
import { type BenchSettings, findTools, type FoundTools, runBench } from './bench.ts';
import { benchCommand, type BenchStreams, positiveInteger } from './command-line.ts';
import { type CorpusName, corpusNames, planCorpus } from './corpus/plan.ts';
import { describeMachine } from './measure/machine.ts';
import { profileNames } from './relay/profile.ts';
import { type BenchReport, renderReport } from './report/document.ts';
import { leaveFigures } from './report/figures.ts';
import { type Run, scenarioNames } from './run.ts';
import { toolNames } from './tools.ts';

interface Options {
  readonly corpus: BenchSettings['corpora'];
  readonly profile: BenchSettings['profiles'];
  readonly scenario: BenchSettings['scenarios'];
  readonly tools: BenchSettings['tools'];
  readonly reps: number;
  readonly scale: number;
  readonly seed: string;
  readonly timeout: number;
  readonly out: string;
  readonly json?: string;
  readonly markdown?: string;
}

/**
 * The benchmark's command line.
 * @param interrupt ends it in good order: processes ended, temporary folders removed, what was measured shown
 * @returns exit status: 0 all of ours was complete, 1 something of ours was not, or no run counts; 2 wrong usage
 */
export async function main(argv: readonly string[], streams: BenchStreams, interrupt: AbortSignal): Promise<number> {
  // A reader that goes away (`… --help | head`) ends the output, not the benchmark.
  for (const stream of [streams.stdout, streams.stderr]) stream.on('error', () => undefined);
  try {
    if (argv[2] === 'discovery') {
      const { discovery } = await import('./discovery/main.ts');
      return await discovery(argv.slice(3), streams, interrupt);
    }
    if (argv[2] === 'shards') {
      const { shards } = await import('./shards/main.ts');
      return await shards(argv.slice(3), streams, interrupt);
    }
    if (argv[2] === 'fleet') {
      const { fleet } = await import('./fleet/main.ts');
      return await fleet(argv.slice(3), streams, interrupt);
    }
    const command = program(streams).parse([...argv]);
    return await bench(command.opts<Options>(), streams, interrupt);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const { message, remedy } = toReplicationError(error);
    streams.stderr.write(`${message}\n${remedy === undefined ? '' : `  ${remedy}\n`}`);
    return exitStatusFor(error);
  }
}

function program(streams: BenchStreams): Command {
  return benchCommand('bench', streams)
    .description('Copies seeded images between two registries with this program and with its peers, and compares them.')
    .addHelpText(
      'after',
      '\n`bench discovery --help`: what it costs to find the images of charts.\n`bench shards --help`: how well a large plan is split over workers.\n`bench fleet --help`: several workers at the same time.',
    )
    .addOption(choices('--corpus <names>', 'images to copy', corpusNames, ['eks']))
    .addOption(choices('--profile <names>', 'how far away the registries are', profileNames, ['wan-put10']))
    .addOption(choices('--scenario <names>', 'cold is always run first', scenarioNames, scenarioNames))
    .addOption(choices('--tools <names>', 'what is compared', toolNames, toolNames))
    .addOption(new Option('--reps <n>', 'repetitions').default(3).argParser(positiveInteger))
    .addOption(
      new Option('--scale <x>', 'share of the full size, in bytes; images shrink with its root')
        .default(1)
        .argParser(share),
    )
    .option('--seed <text>', 'another seed makes other images of the same kind', 'bench')
    .addOption(new Option('--timeout <seconds>', 'for one run').default(900).argParser(positiveInteger))
    .option('--out <dir>', 'folder for what the tools say and leave', 'out/bench')
    .option('--json <file>', 'write every run to a file')
    .option('--markdown <file>', 'write the tables to a file');
}

function choices<Name extends string>(
  flags: string,
  description: string,
  names: readonly Name[],
  preset: readonly Name[],
): Option {
  return new Option(flags, `${description}: a comma list of ${names.join(', ')}`)
    .default(preset, preset.join(','))
    .argParser((text) =>
      text.split(',').map((word) => {
        const known = names.find((name) => name === word.trim());
        if (known === undefined) throw new InvalidArgumentError(`"${word}" is none of ${names.join(', ')}.`);
        return known;
      }),
    );
}

function share(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 1) return value;
  throw new InvalidArgumentError('Expected a number above 0, and at most 1.');
}

async function bench(options: Options, { stdout, stderr }: BenchStreams, interrupt: AbortSignal): Promise<number> {
  const note = (text: string): void => void stderr.write(`${text}\n`);
  const settings: BenchSettings = {
    ...options,
    corpora: options.corpus,
    profiles: options.profile,
    scenarios: options.scenario,
    repetitions: options.reps,
    timeoutSeconds: options.timeout,
    out: resolve(options.out),
  };
  const startedAt = new Date().toISOString();
  const found = await findTools(settings.tools, note);
  const runs: Run[] = [];
  const finished = (run: Run): void => {
    runs.push(run);
    note(
      `  ${run.scenario}: ${run.seconds.toFixed(2)} s, ${run.refused ?? (run.complete ? 'complete' : 'INCOMPLETE')}`,
    );
  };
  try {
    await runBench(settings, found, { note, finished }, interrupt);
  } catch (error) {
    if (!interrupt.aborted) throw error;
  }
  const report = reportOf(settings, found, runs, { startedAt, interrupted: interrupt.aborted });
  await leaveFigures(report, renderReport, stdout, options);
  if (interrupt.aborted) return 130;
  const ours = runs.filter(({ tool }) => tool === 'ours');
  return ours.every(({ complete }) => complete) && runs.some(({ refused }) => refused === undefined) ? 0 : 1;
}

function reportOf(
  settings: BenchSettings,
  { tools, registryVersion }: FoundTools,
  runs: readonly Run[],
  rest: Pick<BenchReport, 'startedAt' | 'interrupted'>,
): BenchReport {
  const { scale, seed, repetitions } = settings;
  return {
    kind: 'image-replication/bench',
    version: 1,
    machine: describeMachine(),
    versions: { ...Object.fromEntries(tools.map(({ title, version }) => [title, version])), registry: registryVersion },
    settings: { scale, seed, repetitions },
    manifests: Object.fromEntries(settings.corpora.map((corpus) => [corpus, manifestsOf(corpus, settings)])),
    runs: [...runs],
    ...rest,
  };
}

function manifestsOf(corpus: CorpusName, settings: BenchSettings): { readonly cold: number; readonly incr: number } {
  const { images } = planCorpus(corpus, settings);
  const count = (platforms: number): number => (platforms > 1 ? platforms + 1 : platforms);
  const sum = (counts: readonly number[]): number => counts.reduce((total, each) => total + each, 0);
  return {
    cold: sum(images.map(({ first }) => count(first.length))),
    incr: sum(images.map(({ moved }) => count(moved?.length ?? 0))),
  };
}
