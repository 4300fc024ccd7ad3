import { type Command, Help, InvalidArgumentError, Option } from 'commander';
import { declareShards, defaultTries, shardedJobs, shardsGroup } from './fleet/options.ts';
import type { Environment, runJob } from './run.ts';
import { parseSize } from './size.ts';

/** Options that every command takes. */
export interface CommonOptions {
  readonly out: string;
  readonly json?: boolean;
  readonly insecureHost?: readonly string[];
  readonly concurrency?: number;
  readonly tries?: number;
  readonly spoolBytes?: number;
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
      command.helpGroup(groups.find(([, names]) => names.includes(name))?.[0] ?? '');
      return shardedJobs.includes(name) ? declareShards(common(command)) : common(command);
    },
    async start(name, options, work, insecureHosts = options.insecureHost ?? []) {
      const run = await import('./run.ts');
      ended(await run.runJob(name, { ...options, insecureHosts }, work, environment));
    },
  };
}

/** Headings of the list of commands. */
const groups: readonly (readonly [heading: string, commands: readonly string[]])[] = [
  ['Jobs:', ['eks', 'images', 'chart', 'ecr', 'mirror']],
  ['To look and to check:', ['status', 'verify']],
  ['Beyond one machine:', ['worker', 'summary', 'runs', 'kubernetes-job']],
  ['To take away, and steps of the module:', ['delete-repos', 'destroy', 'helm']],
];

const commonGroup = 'Options of every command:';

/** What belongs to one command alone is read first. */
export function ownOptionsFirst<T extends Command | Option>(
  all: T[],
  visible: T[],
  groupOf: (item: T) => string,
): Map<string, T[]> {
  const rank = (heading: string): number => [shardsGroup, commonGroup].indexOf(heading);
  return new Map([...new Help().groupItems(all, visible, groupOf)].sort(([a], [b]) => rank(a) - rank(b)));
}

/** Taken by every command, so that a script can pass them to any; shown where they change something. */
function common(command: Command): Command {
  const name = command.name();
  const copies = [...shardedJobs, 'chart', 'worker'].includes(name);
  const movesBlobs = copies || name === 'verify';
  const options = [
    new Option('--out <dir>', 'folder for the files that a run leaves').default('out'),
    new Option('--report <dir>', 'folder for report.html, report.json and report.md (default: none)'),
    new Option('--json', 'one JSON object per event on standard output, instead of text'),
    new Option('--yes', 'do not ask before something is deleted (delete-repos, ecr --prune)').hideHelp(
      !['delete-repos', 'ecr'].includes(name),
    ),
    new Option('--insecure-host <host...>', 'hosts beside loopback that may be spoken to in plain HTTP').hideHelp(
      !movesBlobs && name !== 'helm',
    ),
    new Option('--concurrency <n>', 'blobs moved at the same time (default: 24 over all, 16 a source)')
      .argParser(positive)
      .hideHelp(!movesBlobs),
    new Option('--tries <n>', `how often an image or a chart is tried (default: 1; by a worker: ${defaultTries})`)
      .argParser(positive)
      .hideHelp(!copies),
    new Option(
      '--spool-bytes <size>',
      'what layers for several repositories may take on disk for a while, such as 500MB; 0: each is read again (default: IMAGE_REPLICATION_SPOOL_BYTES, else 4GiB)',
    )
      .argParser(size)
      .hideHelp(!copies),
    new Option(
      '--max-minutes <n>',
      'stop in order after so many minutes, and say what is left (default: no limit; eks: MaxMinutes)',
    ).argParser(aboveZero),
  ];
  for (const option of options) command.addOption(option.helpGroup(commonGroup));
  return command;
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

function size(text: string): number {
  try {
    return parseSize(text);
  } catch {
    throw new InvalidArgumentError('expected a size such as 4GiB, 500MB or 0');
  }
}

/** Parses an option's value. @throws InvalidArgumentError */
export function aboveZero(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && /^[\d.]+$/.test(text)) return value;
  throw new InvalidArgumentError('expected a number above 0');
}
