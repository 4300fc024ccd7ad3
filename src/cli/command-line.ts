import { type Command, InvalidArgumentError, Option } from 'commander';
import { declareShards, shardedJobs } from './fleet/options.ts';
import type { Environment, runJob } from './run.ts';

/** Options that every command takes. */
export interface CommonOptions {
  readonly out: string;
  readonly json?: boolean;
  readonly insecureHost?: readonly string[];
  readonly concurrency?: number;
  readonly maxMinutes?: number;
  readonly report?: string;
}

export type ExitStatus = 0 | 1 | 2;

/** What a command's declaration gets: its code is loaded when it runs, since `--help` must not wait for the AWS SDK. */
export interface CommandLine {
  readonly environment: Environment;
  /** Adds a command with the options that all have. */
  readonly job: (name: string, description: string, example: string) => Command;
  /**
   * Runs a job with the session that its options make, and keeps how it ended.
   * @param insecureHosts read while the job runs; default: those of the options
   */
  readonly start: (
    name: string,
    options: CommonOptions,
    work: Parameters<typeof runJob>[2],
    insecureHosts?: readonly string[],
  ) => Promise<void>;
  /** Keeps the exit status of a command that runs no job. */
  readonly ended: (status: ExitStatus) => void;
}

/** @param ended takes the exit status of the command that has run */
export function commandLine(
  program: Command,
  environment: Environment,
  ended: (status: ExitStatus) => void,
): CommandLine {
  return {
    environment,
    ended,
    job(name, description, example) {
      const command = program.command(name).description(description).addHelpText('after', `\nExample:\n  ${example}`);
      return shardedJobs.includes(name) ? declareShards(common(command)) : common(command);
    },
    async start(name, options, work, insecureHosts = options.insecureHost ?? []) {
      const run = await import('./run.ts');
      ended(await run.runJob(name, { ...options, insecureHosts }, work, environment));
    },
  };
}

function common(command: Command): Command {
  return command
    .option('--out <dir>', 'folder for the files that a run leaves', 'out')
    .option('--report <dir>', 'folder for report.html, report.json and report.md (default: none)')
    .option('--json', 'one JSON object per event on standard output, instead of text')
    .option('--yes', 'do not ask before something is deleted (delete-repos, ecr --prune)')
    .option('--insecure-host <host...>', 'hosts beside loopback that may be spoken to in plain HTTP')
    .addOption(
      new Option('--concurrency <n>', 'blobs moved at the same time (default: 24 over all, 16 a source)').argParser(
        positive,
      ),
    )
    .addOption(
      new Option(
        '--max-minutes <n>',
        'stop in order after so many minutes, and say what is left (default: no limit; eks: MaxMinutes)',
      ).argParser(aboveZero),
    );
}

/** `--project`, `--deployment` and `--module`, which Seed-Farmer gives as variables. */
export function ownership(command: Command): Command {
  for (const name of ['project', 'deployment', 'module'])
    command.option(`--${name} <name>`, `${name} name (default: SEEDFARMER_${name.toUpperCase()}_NAME)`);
  return command;
}

/** Parses an option's value. @throws InvalidArgumentError */
export function positive(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('expected a whole number above 0');
}

/** Parses an option's value. @throws InvalidArgumentError */
export function aboveZero(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && /^[\d.]+$/.test(text)) return value;
  throw new InvalidArgumentError('expected a number above 0');
}
