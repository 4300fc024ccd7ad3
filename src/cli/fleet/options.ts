import { type Command, InvalidArgumentError, Option } from 'commander';

/** What every job takes that can be spread over several workers. */
export interface ShardArguments {
  /** Folder of the run: nothing is copied, its shards are written there. */
  readonly shards?: string | undefined;
  readonly shardCount?: number | undefined;
  /** Workers that run at the same time. */
  readonly workers?: number | undefined;
  /** Table with the write budget that all workers share. */
  readonly budget?: string | undefined;
  /** Where workers keep the status of each image. */
  readonly statusStore?: string | undefined;
  readonly concurrency?: number | undefined;
  readonly tries?: number | undefined;
  readonly spoolBytes?: number | undefined;
  readonly insecureHost?: readonly string[] | undefined;
}

/** Step Functions hands at most so many to a Distributed Map's workers at once; more shards only cost more starts. */
export const mostShards = 1_000;

/** Jobs whose images can be spread over several workers. */
export const shardedJobs: readonly string[] = ['ecr', 'images', 'mirror', 'eks'];

/** How often a worker tries an image, unless the job or the worker is told. */
export const defaultTries = 3;

/** Heading of these options in a command's help. */
export const shardsGroup = 'To spread it over several workers (docs/fleet.md):';

/** Adds `--shards` and what belongs to it. `ecr` keeps a status anyway. */
export function declareShards(command: Command): Command {
  const options = [
    new Option(
      '--shards <location>',
      'plan the run for several workers and copy nothing: a directory or s3://bucket/prefix/RUN takes plan and shards',
    ),
    new Option(
      '--shard-count <n>',
      `into how many shards (default: as many as bytes and manifests are worth, at most ${mostShards})`,
    ).argParser(shardCount),
    new Option(
      '--workers <n>',
      'how many workers run at the same time, which decides on the number of shards and on what one may write by itself (default: one a shard)',
    ).argParser(shardCount),
    new Option('--budget <place>', 'dynamodb:TABLE through which the workers share ECR’s limit on writes'),
    ...(command.name() === 'ecr'
      ? []
      : [
          new Option(
            '--status-store <place>',
            'where the workers keep the status of each image, dynamodb:TABLE or, for one worker at a time, sqlite:FILE (default: nowhere)',
          ),
        ]),
  ];
  for (const option of options) command.addOption(option.helpGroup(shardsGroup));
  return command;
}

function shardCount(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0 && value <= mostShards) return value;
  throw new InvalidArgumentError(`expected a whole number from 1 to ${mostShards}`);
}
