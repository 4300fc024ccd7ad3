import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ReplicationError } from '../model/errors.ts';
import type { Platform } from '../model/platform.ts';
import type { MirrorFile } from '../sources/mirror/mirror-file.ts';
import { type EnvironmentVariables, splitList, variable } from './environment.ts';
import type { ShardArguments } from './fleet/options.ts';
import { parsePlatforms } from './platform-text.ts';
import type { RunOptions } from './run.ts';
import { parseTarget, type TargetText } from './target.ts';

export interface MirrorArguments {
  readonly config?: string | undefined;
  readonly target?: string | undefined;
  readonly region?: string | undefined;
  readonly platforms?: string | undefined;
  readonly out: string;
}

export interface MirrorCommand
  extends MirrorArguments, Omit<ShardArguments, 'concurrency' | 'tries' | 'spoolBytes'>, RunOptions {
  readonly once?: boolean | undefined;
  readonly status?: boolean | undefined;
  readonly plan?: boolean | undefined;
  /** Lock that is replicated instead of the file. */
  readonly lock?: string | undefined;
  /** Leave a lock of what the file asks for, with --once. */
  readonly writeLock?: boolean | undefined;
  /** Where /healthz and /metrics are answered. */
  readonly port: number;
}

/** Where a mirror writes. */
export type MirrorTargetSettings =
  | { readonly kind: 'ecr'; readonly region: string; readonly account: string | undefined }
  | { readonly kind: 'named'; readonly target: Exclude<TargetText, { kind: 'ecr' }>; readonly text: string };

export interface MirrorSettings {
  readonly config: string;
  readonly database: string;
  readonly target: MirrorTargetSettings;
  /** Names the target in fingerprints. */
  readonly targetKey: string;
  readonly region: string | undefined;
  /** Whether it runs on Google Cloud, whose metadata server hands out tokens for Google's registries. */
  readonly onGoogle: boolean;
  /** For sections that name none. */
  readonly platforms: 'all' | readonly Platform[];
}

/** Paths of docker-mirror-image's container: a file and a volume that are mounted there are found. */
const containerConfig = '/app/src/config.ini';
const containerData = '/db';

/** @throws ReplicationError `usage`, `configuration` */
export function mirrorSettings(command: MirrorArguments, env: EnvironmentVariables): MirrorSettings {
  const region = command.region ?? variable(env, 'AWS_DEFAULT_REGION', 'AWS_REGION');
  const target = targetSettings(command, env, region);
  return {
    config: command.config ?? (existsSync(containerConfig) ? containerConfig : 'config.ini'),
    database: databasePath(command, env),
    target,
    targetKey: target.kind === 'ecr' ? ['ecr', target.account ?? '', target.region].join(' ') : target.text,
    region,
    onGoogle: ['GOOGLE', 'GKE'].includes(cloudOf(env)),
    platforms: command.platforms === undefined ? 'all' : parsePlatforms(splitList(command.platforms)),
  };
}

/** DB_PATH, else the documented path where its volume is, else a file beside what the run leaves. */
export function databasePath(command: Pick<MirrorArguments, 'out'>, env: EnvironmentVariables): string {
  const folder = existsSync(containerData) ? containerData : command.out;
  return variable(env, 'DB_PATH') ?? join(folder, 'repository.db');
}

const examples: Readonly<Record<string, string>> = {
  AZURE: 'NAME.azurecr.io',
  GOOGLE: 'REGION-docker.pkg.dev/PROJECT/REPOSITORY',
  GKE: 'REGION-docker.pkg.dev/PROJECT/REPOSITORY',
};

function targetSettings(
  command: MirrorArguments,
  env: EnvironmentVariables,
  region: string | undefined,
): MirrorTargetSettings {
  const cloud = cloudOf(env);
  const example = examples[cloud];
  if (cloud !== 'AWS' && example === undefined) {
    throw new ReplicationError('configuration', `CLOUD is "${cloud}"`, {
      remedy: 'set it to AWS, AZURE, GOOGLE or GKE, or leave it out and name the target with --target',
    });
  }
  if (command.target !== undefined) {
    const target = parseTarget(command.target);
    if (target.kind !== 'ecr') return { kind: 'named', target, text: command.target };
  }
  if (example !== undefined) {
    throw new ReplicationError('usage', `CLOUD is ${cloud}, and no target is named`, {
      remedy: `pass --target ${example}`,
    });
  }
  if (region === undefined) {
    throw new ReplicationError('configuration', 'the AWS region is not known', {
      remedy: 'set AWS_DEFAULT_REGION, or pass --region, or name another registry with --target',
    });
  }
  return { kind: 'ecr', region, account: accountOf(env) };
}

function cloudOf(env: EnvironmentVariables): string {
  return (variable(env, 'CLOUD') ?? 'AWS').toUpperCase();
}

function accountOf(env: EnvironmentVariables): string | undefined {
  const account = variable(env, 'AWS_ACCOUNT', 'AWS_ACCOUNT_ID');
  if (account === undefined || /^\d{12}$/.test(account)) return account;
  throw new ReplicationError('configuration', `AWS_ACCOUNT is "${account}", which is no account id`, {
    remedy: 'set it to the twelve digits, or leave it out: then it is the account of the credentials',
  });
}

/** `--platforms` holds for sections that name none. */
export function withPlatforms(file: MirrorFile, { platforms }: MirrorSettings): MirrorFile {
  if (platforms === 'all') return file;
  return {
    ...file,
    sections: file.sections.map((each) => (each.platforms === 'all' ? { ...each, platforms } : each)),
  };
}
