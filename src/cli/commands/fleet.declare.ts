import { join } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { aboveZero, type CommandLine, type CommonOptions } from '../command-line.ts';
import type { RunsOptions } from './runs.ts';
import type { SummaryOptions } from './summary.ts';
import type { WorkerOptions } from './worker.ts';

/** Declares `worker`, `summary` and `runs`. */
export function declareFleet({ job, start, environment }: CommandLine): void {
  job(
    'worker',
    'copy one shard of a run that a job has planned with --shards',
    'npx image-replication worker --shard s3://runs/daily/2026-11-21/shards/0000.json',
  )
    .option('--shard <address>', 'the shard, as shards.json names it: LOCATION/shards/0000.json')
    .option('--shards <location>', 'folder of the run, with --index instead of --shard')
    .addOption(
      new Option('--index <n>', 'number of the shard, from 0 (default: JOB_COMPLETION_INDEX)').argParser(index),
    )
    .action(async (options: CommonOptions & WorkerOptions) => {
      const { runWorker } = await import('./worker.ts');
      // The session has this list from its start; the shard adds what it allows.
      const insecureHosts = [...(options.insecureHost ?? [])];
      const surroundings = { task: environment.task, insecureHosts };
      await start('worker', options, (session) => runWorker(session, options, surroundings), insecureHosts);
    });

  job(
    'summary',
    'put the results of all shards of a run together: report, summary.json, and failed.json for another try',
    'npx image-replication summary --shards s3://runs/daily/2026-11-21',
  )
    .requiredOption('--shards <location>', 'folder of the run')
    .option('--execution <name>', 'of the state machine: it counts what no execution before it has counted')
    .action(async (options: CommonOptions & SummaryOptions) => {
      const { runSummary } = await import('./summary.ts');
      await start('summary', options, (session) => runSummary(session, options));
    });

  job(
    'runs',
    'show runs with their progress and what failed, or run again what failed',
    'npx image-replication runs --state-machine arn:aws:states:eu-west-1:123456789012:stateMachine:replication --watch',
  )
    .argument('[run]', 'name or ARN of an execution (default: all, newest first)')
    .option('--state-machine <arn>', 'state machine that runs them (default: IMAGE_REPLICATION_STATE_MACHINE)')
    .option('--shards <location>', 'folder of a run, instead: on Kubernetes, or on one machine')
    .option('--redrive', 'start an execution that does the failed shards of this run again, without planning')
    .option('--watch', 'show it anew until the run has ended')
    .addOption(new Option('--every <seconds>', 'how often --watch looks').argParser(aboveZero).default(10))
    .action(async (run: string | undefined, options: CommonOptions & Omit<RunsOptions, 'run' | 'json'>) => {
      const { runRuns } = await import('./runs.ts');
      // The record of the job that has run stays.
      const out = join(options.out, 'runs');
      const json = options.json === true ? environment.stdout : undefined;
      await start('runs', { ...options, out }, (session) => runRuns(session, { ...options, run, json }));
    });
}

function index(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('expected a whole number from 0');
}
