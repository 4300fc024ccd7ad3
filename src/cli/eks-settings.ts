import { allowedRegistries } from '../charts/isolation/allowed.ts';
import { uncontrolledPolicies, type UncontrolledPolicy } from '../charts/isolation/verdict.ts';
import { ReplicationError, ReplicationErrors } from '../model/errors.ts';
import { parsePlatform, type Platform } from '../model/platform.ts';
import { parseRetentionType } from '../retention/destroy.ts';
import { parseEncryptionKey } from './encryption-key.ts';
import { type EnvironmentVariables, flagParameter, listParameter, parameter, variable } from './environment.ts';

/** Whose run this is: names that end up in repositories, the bucket and the object. */
export interface Ownership {
  readonly project: string;
  readonly deployment: string;
  /** `<group>-<module>`, as Seed-Farmer names it. */
  readonly module: string;
}

export interface SecretPointer {
  readonly name: string;
  readonly key: string | undefined;
}

/** Where helm comes from, when not from PATH or get.helm.sh. */
export interface HelmDistro {
  readonly url: string | undefined;
  readonly secret: SecretPointer | undefined;
  readonly checksum: string | undefined;
}

/** Everything the EKS job can be told (design: the table of parameters), checked. */
export interface EksSettings extends Ownership {
  readonly eksVersion: string;
  readonly region: string;
  /** Given by CodeBuild; else STS is asked. */
  readonly accountId: string | undefined;
  readonly helmRepoSecret: SecretPointer | undefined;
  readonly helmDistro: HelmDistro;
  readonly platforms: 'all' | readonly Platform[];
  readonly scanOnPush: boolean;
  readonly immutableTags: boolean;
  readonly encryptionKey: string;
  /** Pin by digest wherever a chart can. */
  readonly pinDigests: boolean;
  /** What becomes of a reference that no value of its chart moves. */
  readonly uncontrolledImages: UncontrolledPolicy;
  /** Whether a reference leads to a host that the cluster can reach (AllowedRegistries). */
  readonly isAllowed: (reference: string) => boolean;
  /** Further API versions of the cluster, for rendering. */
  readonly apiVersions: readonly string[];
  readonly maxMinutes: number;
  /** When the deadline's clock began, milliseconds since the epoch: CodeBuild's start, else this program's. */
  readonly startedAt: number;
}

export interface EksArguments {
  readonly eksVersion?: string | undefined;
  /** A lock takes the place of data files, and of the version that names one. */
  readonly lock?: string | undefined;
  readonly project?: string | undefined;
  readonly deployment?: string | undefined;
  readonly module?: string | undefined;
  readonly region?: string | undefined;
  readonly platforms?: string | undefined;
}

/** Arguments win over the environment. @throws ReplicationErrors listing everything that is missing or wrong */
export function eksSettings(args: EksArguments, env: EnvironmentVariables, now: number): EksSettings {
  const check = new Checks();
  const ownership = check.ownership(args, env);
  const eksVersion = args.eksVersion ?? parameter(env, 'EKS_VERSION');
  if (eksVersion === undefined && args.lock === undefined) {
    check.problem(
      'the EKS version is missing',
      'set the parameter EksVersion in the manifest (quoted: "1.34"), or pass --eks-version',
    );
  }
  const region = args.region ?? variable(env, 'AWS_REGION', 'AWS_DEFAULT_REGION');
  if (region === undefined) check.problem('the AWS region is missing', 'set AWS_REGION, or pass --region');
  const settings: EksSettings = {
    ...ownership,
    eksVersion: eksVersion ?? '',
    region: region ?? '',
    accountId: variable(env, 'AWS_ACCOUNT_ID'),
    helmRepoSecret: helmRepoSecret(env),
    helmDistro: helmDistroSettings(env),
    platforms: check.try(() => platformSetting(args, env)) ?? 'all',
    scanOnPush: check.try(() => flagParameter(env, 'SCAN_ON_PUSH', true)) ?? true,
    immutableTags: check.try(() => flagParameter(env, 'IMMUTABLE_TAGS', false)) ?? false,
    encryptionKey: check.try(() => parseEncryptionKey(parameter(env, 'ENCRYPTION_KEY') ?? 'AES256')) ?? 'AES256',
    pinDigests: check.try(() => flagParameter(env, 'PIN_DIGESTS', false)) ?? false,
    uncontrolledImages: check.try(() => uncontrolledPolicy(env)) ?? 'WARN',
    isAllowed:
      check.try(() => allowedRegistries(listParameter(env, 'ALLOWED_REGISTRIES'), region ?? '')) ?? (() => false),
    apiVersions: check.try(() => listParameter(env, 'API_VERSIONS')) ?? [],
    maxMinutes: check.try(() => minutes(env)) ?? 100,
    startedAt: buildStart(env) ?? now,
  };
  // Only the destroy uses it, which is too late to hear of a mistake.
  check.try(() => parseRetentionType(parameter(env, 'RETENTION_TYPE')));
  check.done();
  return settings;
}

/** The names alone, for destroy. @throws ReplicationErrors */
export function ownershipSettings(
  args: EksArguments,
  env: EnvironmentVariables,
): Ownership & { readonly region: string; readonly accountId: string | undefined } {
  const check = new Checks();
  const ownership = check.ownership(args, env);
  const region = args.region ?? variable(env, 'AWS_REGION', 'AWS_DEFAULT_REGION');
  if (region === undefined) check.problem('the AWS region is missing', 'set AWS_REGION, or pass --region');
  check.done();
  return { ...ownership, region: region ?? '', accountId: variable(env, 'AWS_ACCOUNT_ID') };
}

/** Collects problems, so that one run tells them all. */
class Checks {
  readonly #errors: ReplicationError[] = [];

  problem(message: string, remedy: string): void {
    this.#errors.push(new ReplicationError('configuration', message, { remedy }));
  }

  try<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ReplicationError)) throw error;
      this.#errors.push(error);
      return undefined;
    }
  }

  ownership(args: EksArguments, env: EnvironmentVariables): Ownership {
    const read = (name: 'project' | 'deployment' | 'module'): string => {
      const upper = name.toUpperCase();
      const value = args[name] ?? variable(env, `SEEDFARMER_${upper}_NAME`);
      if (value === undefined)
        this.problem(
          `the ${name}'s name is missing`,
          `set SEEDFARMER_${upper}_NAME (Seed-Farmer does), or pass --${name}`,
        );
      return value ?? '';
    };
    return { project: read('project'), deployment: read('deployment'), module: read('module') };
  }

  done(): void {
    if (this.#errors.length > 0) throw new ReplicationErrors(this.#errors);
  }
}

/** The secret with the credentials of private chart and image hosts. */
export function helmRepoSecret(env: EnvironmentVariables): SecretPointer | undefined {
  return secretPointer(env, 'HELM_REPO_SECRET_NAME', 'HELM_REPO_SECRET_KEY');
}

function secretPointer(env: EnvironmentVariables, name: string, key: string): SecretPointer | undefined {
  const secret = parameter(env, name);
  return secret === undefined ? undefined : { name: secret, key: parameter(env, key) };
}

export function helmDistroSettings(env: EnvironmentVariables): HelmDistro {
  return {
    url: parameter(env, 'HELM_DISTRO_URL'),
    secret: secretPointer(env, 'HELM_DISTRO_SECRET_NAME', 'HELM_DISTRO_SECRET_KEY'),
    checksum: parameter(env, 'HELM_DISTRO_CHECKSUM'),
  };
}

function platformSetting(args: EksArguments, env: EnvironmentVariables): 'all' | readonly Platform[] {
  const list = args.platforms === undefined ? listParameter(env, 'PLATFORMS') : args.platforms.split(',');
  if (list.length === 0 || (list.length === 1 && list[0]?.toLowerCase() === 'all')) return 'all';
  return list.map(parsePlatform);
}

function uncontrolledPolicy(env: EnvironmentVariables): UncontrolledPolicy {
  const text = parameter(env, 'UNCONTROLLED_IMAGES') ?? 'WARN';
  const policy = uncontrolledPolicies.find((each) => each === text.toUpperCase());
  if (policy !== undefined) return policy;
  throw new ReplicationError('configuration', `the parameter UncontrolledImages is "${text}"`, {
    remedy: `set it to ${uncontrolledPolicies.join(', ')}, or leave it out`,
  });
}

function minutes(env: EnvironmentVariables): number {
  const text = parameter(env, 'MAX_MINUTES') ?? '100';
  const value = Number(text);
  // Number alone would take 0x10 and 1e3 too.
  if (/^\d+(?:\.\d+)?$/.test(text) && value > 0) return value;
  throw new ReplicationError('configuration', `the parameter MaxMinutes is "${text}"`, {
    remedy: 'give a number of minutes above 0',
  });
}

/** CODEBUILD_START_TIME: start of the build, milliseconds since the epoch (AWS CodeBuild user guide, "Environment variables in build environments"). */
function buildStart(env: EnvironmentVariables): number | undefined {
  const value = Number(variable(env, 'CODEBUILD_START_TIME') ?? Number.NaN);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}
