import { join } from 'node:path';
import { ReplicationError, ReplicationErrors } from '../../model/errors.ts';
import { parsePlatform, type Platform } from '../../model/platform.ts';
import { checkPrefix } from '../../sources/ecr/target-repository.ts';
import { parseStatusLocation, type StatusLocation } from '../../status/status-location.ts';
import { splitList } from '../environment.ts';
import { refuseLayout } from '../fleet/layout.ts';
import { refuseBesideLock } from '../locked-run.ts';
import type { ShardArguments } from '../fleet/options.ts';
import { parseTarget } from '../target.ts';

/** The command line as it was written. */
export interface EcrOptions extends Omit<ShardArguments, 'concurrency' | 'spoolBytes' | 'insecureHost'> {
  readonly concurrency?: number;
  readonly insecureHost?: readonly string[];
  readonly out: string;
  readonly sourceType?: string;
  readonly srcRegion?: string;
  readonly srcAccount?: string;
  readonly srcList?: string;
  readonly srcImageList?: string;
  readonly srcImageParameter?: string;
  readonly srcCredential?: string;
  readonly srcRole?: string;
  readonly destRegion?: string;
  readonly destAccount?: string;
  readonly destCredential?: string;
  readonly destRole?: string;
  readonly destPrefix?: string;
  readonly target?: string;
  readonly once?: boolean;
  readonly tries?: number;
  readonly spoolBytes?: number;
  readonly prune?: boolean;
  readonly yes?: boolean;
  readonly withSettings?: boolean;
  readonly platforms?: string;
  readonly createTable?: boolean;
  readonly alarmEmail?: string;
  readonly alarmTopic?: string;
  readonly lock?: string;
  readonly writeLock?: boolean;
  readonly plan?: boolean;
}

/** Whose credentials are used for a registry. `default`: those of the program, or the parameter drh-credentials for another account. */
export type Access =
  | { readonly kind: 'default' }
  /** The program's own, for whatever account. */
  | { readonly kind: 'own' }
  | { readonly kind: 'parameter'; readonly name: string }
  | { readonly kind: 'role'; readonly arn: string };

/** An account's registry. */
export interface EcrPlace {
  readonly region: string;
  /** `undefined`: the account of the credentials. */
  readonly account: string | undefined;
  readonly access: Access;
}

/** Images that are replicated: all of the registry, or a list, written out or kept in a parameter. */
export type Chosen =
  | { readonly kind: 'all' }
  | { readonly kind: 'list'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string };

export interface EcrSettings {
  readonly source:
    | { readonly type: 'Amazon_ECR'; readonly place: EcrPlace }
    | { readonly type: 'Public' }
    /** `login`: parameter with username and password for the one registry of the list. */
    | { readonly type: 'Private'; readonly login: string | undefined };
  readonly chosen: Chosen;
  readonly destination: EcrPlace | { readonly layout: string } | { readonly registry: string };
  /** What repositories at the destination begin with: the path of `--target`, and `--dest-prefix`. */
  readonly prefix: string;
  readonly once: boolean;
  readonly prune: boolean;
  readonly yes: boolean;
  readonly withSettings: boolean;
  readonly platforms: 'all' | readonly Platform[];
  readonly store: StatusLocation;
  readonly createTable: boolean;
  readonly alarm: { readonly email: string | undefined; readonly topic: string | undefined };
  /** File of the lock that is replicated instead of what a comparison finds. */
  readonly lock: string | undefined;
  /** Leave a lock of everything that was chosen. */
  readonly writeLock: boolean;
  readonly plan: boolean;
  /** Set when workers copy, and this run plans for them. */
  readonly sharding: (ShardArguments & { readonly out: string }) | undefined;
  readonly out: string;
  /** Options that were given and change nothing, with the reason. */
  readonly ignored: readonly string[];
}

const sourceTypes = ['Amazon_ECR', 'Public', 'Private'] as const;
const lists = ['ALL', 'SELECTED'] as const;

/** Checks the options against each other. @throws ReplicationErrors `usage` with everything that is wrong */
export function ecrSettings(options: EcrOptions): EcrSettings {
  const problems: ReplicationError[] = [];
  const attempt = <T>(work: () => T, otherwise: T): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ReplicationError)) throw error;
      problems.push(error);
      return otherwise;
    }
  };
  const type = attempt(() => oneOf('--source-type', sourceTypes, options.sourceType), 'Amazon_ECR');
  const list = attempt(() => oneOf('--src-list', lists, options.srcList), 'ALL');
  const settings: EcrSettings = {
    source: attempt(() => sourceOf(type, options), { type: 'Public' }),
    chosen: attempt(() => (options.lock === undefined ? chosenOf(type, list, options) : { kind: 'all' }), {
      kind: 'all',
    }),
    destination: attempt(() => destinationOf(options), { layout: '' }),
    prefix: attempt(() => targetPath(options), '') + (options.destPrefix ?? ''),
    once: options.once === true,
    prune: options.prune === true,
    yes: options.yes === true,
    withSettings: options.withSettings === true,
    platforms: attempt(
      () => (options.platforms === undefined ? 'all' : splitList(options.platforms).map(parsePlatform)),
      'all',
    ),
    store: attempt(() => parseStatusLocation(options.statusStore ?? `sqlite:${join(options.out, 'status.db')}`), {
      kind: 'sqlite',
      path: '',
    }),
    createTable: options.createTable === true,
    alarm: attempt(() => alarmOf(options), { email: undefined, topic: undefined }),
    lock: options.lock,
    writeLock: options.writeLock === true,
    plan: options.plan === true,
    sharding: options.shards === undefined ? undefined : options,
    out: options.out,
    ignored: ignoredOptions(type, list, options),
  };
  if (settings.prefix !== '') attempt(() => checkPrefix(settings.prefix), undefined);
  for (const [given, name] of [
    [settings.prune, '--prune'],
    [settings.withSettings, '--with-settings'],
  ] as const)
    if (given && (type !== 'Amazon_ECR' || !('region' in settings.destination)))
      problems.push(usage(`${name} needs a registry of Amazon ECR on both sides`, `leave ${name} out`));
  if (settings.sharding !== undefined && settings.prune)
    problems.push(
      usage('--prune does not go with --shards', 'prune by a run without --shards, when the workers have copied all'),
    );
  if (settings.sharding !== undefined && 'layout' in settings.destination && options.target !== undefined)
    attempt(() => refuseLayout(options.target), undefined);
  if (options.lock !== undefined) attempt(() => refuseBesideLock(besideLock(options)), undefined);
  if (options.writeLock === true && options.shards !== undefined)
    problems.push(usage('--write-lock does not go with --shards', 'leave a lock by a run without --shards'));
  if (problems.length > 0) throw new ReplicationErrors(problems);
  return settings;
}

function sourceOf(type: (typeof sourceTypes)[number], options: EcrOptions): EcrSettings['source'] {
  if (type === 'Public') return { type };
  if (type === 'Private') return { type, login: options.srcCredential };
  if (options.srcRegion === undefined)
    throw usage('--src-region is missing', 'name the region of the source registry, or another --source-type');
  const { srcRegion: region, srcAccount: account } = options;
  return {
    type,
    place: {
      region: regionOf('--src-region', region),
      account: accountOf('--src-account', account),
      access: accessOf('src', options.srcCredential, options.srcRole),
    },
  };
}

function destinationOf(options: EcrOptions): EcrSettings['destination'] {
  if (options.target !== undefined) {
    const target = parseTarget(options.target);
    if (target.kind === 'layout') return { layout: target.directory };
    if (target.kind === 'registry') return { registry: target.host };
  }
  if (options.destRegion === undefined)
    throw usage('--dest-region is missing', 'name the region of the destination registry, or another --target');
  const { destRegion: region, destAccount: account } = options;
  return {
    region: regionOf('--dest-region', region),
    account: accountOf('--dest-account', account),
    access: accessOf('dest', options.destCredential, options.destRole),
  };
}

/** The path behind the host of `--target`, with a slash at its end. */
function targetPath({ target }: EcrOptions): string {
  const parsed = parseTarget(target);
  return parsed.kind === 'registry' ? parsed.path : '';
}

function chosenOf(type: string, list: (typeof lists)[number], options: EcrOptions): Chosen {
  if (list === 'ALL') {
    if (type === 'Amazon_ECR') return { kind: 'all' };
    throw usage(`--src-list ALL cannot be had from a ${type} source`, 'pass --src-list SELECTED with --src-image-list');
  }
  const { srcImageList: text, srcImageParameter: name } = options;
  if (text !== undefined && name !== undefined)
    throw usage('--src-image-list and --src-image-parameter are both given', 'pass one of them');
  if (text !== undefined) return { kind: 'list', text };
  if (name !== undefined) return { kind: 'parameter', name };
  throw usage('--src-list SELECTED names no images', 'pass --src-image-list or --src-image-parameter');
}

function accessOf(side: 'src' | 'dest', parameter: string | undefined, role: string | undefined): Access {
  if (parameter !== undefined && role !== undefined)
    throw usage(`--${side}-credential and --${side}-role are both given`, 'pass one of them');
  if (parameter !== undefined) return { kind: 'parameter', name: parameter };
  if (role === undefined) return { kind: 'default' };
  if (/^arn:aws[a-z-]*:iam::\d{12}:role\/.+$/.test(role)) return { kind: 'role', arn: role };
  throw usage(`--${side}-role ${role} is no role`, 'write its ARN: arn:aws:iam::123456789012:role/NAME');
}

function alarmOf({ alarmEmail: email, alarmTopic: topic }: EcrOptions): EcrSettings['alarm'] {
  if (email !== undefined && !/^[^\s@]+@[^\s@]+$/.test(email))
    throw usage(`--alarm-email ${email} is no address`, 'write name@example.com');
  if (topic !== undefined && !/^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+$/.test(topic))
    throw usage(`--alarm-topic ${topic} is no topic`, 'write its ARN: arn:aws:sns:eu-west-1:123456789012:NAME');
  return { email, topic };
}

function ignoredOptions(type: string, list: string, options: EcrOptions): readonly string[] {
  const given = (names: Readonly<Record<string, string | undefined>>): readonly string[] =>
    Object.entries(names).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const { srcImageList, srcImageParameter, srcRegion, srcAccount, srcRole, srcCredential } = options;
  const lists =
    list === 'ALL' ? given({ '--src-image-list': srcImageList, '--src-image-parameter': srcImageParameter }) : [];
  const registry =
    type === 'Amazon_ECR'
      ? []
      : given({ '--src-region': srcRegion, '--src-account': srcAccount, '--src-role': srcRole });
  const credential = type === 'Public' ? given({ '--src-credential': srcCredential }) : [];
  const { target, destRegion, destAccount, destRole, destCredential } = options;
  const destination =
    target === undefined
      ? []
      : given({
          '--dest-region': destRegion,
          '--dest-account': destAccount,
          '--dest-role': destRole,
          '--dest-credential': destCredential,
        });
  return [
    ...destination.map((name) => `${name} is ignored: --target ${target ?? ''} is where images go`),
    ...lists.map((name) => `${name} is ignored: --src-list is ALL`),
    ...[...registry, ...credential].map((name) => `${name} is ignored: --source-type is ${type}`),
  ];
}

/** Options whose part a lock plays, as far as they are given. */
function besideLock(options: EcrOptions): readonly string[] {
  const given: Readonly<Record<string, unknown>> = {
    '--src-image-list': options.srcImageList,
    '--src-image-parameter': options.srcImageParameter,
    '--dest-prefix': options.destPrefix,
    'a path in --target': targetPath(options) === '' ? undefined : options.target,
    '--platforms': options.platforms,
    '--once': options.once,
    '--prune': options.prune,
    '--with-settings': options.withSettings,
    '--write-lock': options.writeLock,
    '--shards': options.shards,
  };
  return Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}

function oneOf<T extends string>(name: string, words: readonly T[], given: string | undefined): T {
  const found = words.find((word) => word.toLowerCase() === (given ?? words[0] ?? '').toLowerCase());
  if (found !== undefined) return found;
  throw usage(`${name} ${given ?? ''} is not known`, `write ${words.join(' or ')}`);
}

function regionOf(name: string, text: string): string {
  if (/^[a-z]{2,}(?:-[a-z]+)+-\d+$/.test(text)) return text;
  throw usage(`${name} ${text} is no AWS region`, 'write a region such as eu-west-1 or cn-northwest-1');
}

function accountOf(name: string, text: string | undefined): string | undefined {
  if (text === undefined || /^\d{12}$/.test(text)) return text;
  throw usage(`${name} ${text} is no AWS account id`, 'write twelve digits, or leave it out for the current account');
}

function usage(message: string, remedy: string): ReplicationError {
  return new ReplicationError('usage', message, { side: 'module', remedy });
}
