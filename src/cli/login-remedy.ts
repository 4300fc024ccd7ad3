import { parseEcrHost } from '../aws/ecr-hosts.ts';
import type { Failure, Outcome } from '../model/result.ts';
import type { Reporter, RunEvent } from '../report/events.ts';
import { type EnvironmentVariables, parameter } from './environment.ts';

/** Where a job takes credentials for a host from, as its users write it. */
type Ways = (failure: Failure, host: string) => string;

const dockerLogin = (host: string): string => `docker login ${host}`;

/** What else than docker's logins a job has, by its name. The registry client knows neither jobs nor their parameters. */
const waysOf: Readonly<Record<string, (env: EnvironmentVariables) => Ways>> = {
  eks: (env) => (failure, host) => {
    // A target that is not ECR; sources are never read with a docker login.
    if (failure.side === 'target') return dockerLogin(host);
    const secret = parameter(env, 'HELM_REPO_SECRET_NAME');
    return `an entry "${host}" in ${secret === undefined ? 'a secret that the parameter HelmRepoSecretName names' : `the secret ${secret}`}`;
  },
  ecr: () => (failure, host) =>
    failure.side === 'target'
      ? dockerLogin(host)
      : `${dockerLogin(host)}, or --source-type Private with --src-credential`,
};

/** Adds to "give credentials for HOST" how this job is given them. Other remedies, and those for ECR, stay as they are. */
export function withLoginRemedies(job: string, env: EnvironmentVariables, reporter: Reporter): Reporter {
  const ways = waysOf[job]?.(env) ?? ((_failure: Failure, host: string) => dockerLogin(host));
  const told = (failure: Failure): Failure => {
    const { host, remedy } = failure;
    const phrase = `give credentials for ${host ?? ''}`;
    // ECR takes the credentials of AWS.
    if (host === undefined || remedy?.includes(phrase) !== true || parseEcrHost(host) !== undefined) return failure;
    return { ...failure, remedy: remedy.replace(phrase, () => `${phrase} (${ways(failure, host)})`) };
  };
  return { emit: (event) => reporter.emit(mapped(event, told)) };
}

function mapped(event: RunEvent, told: (failure: Failure) => Failure): RunEvent {
  if (event.type === 'failed') return { ...event, failure: told(event.failure) };
  if (event.type === 'run-finished') return { ...event, failures: event.failures.map(told) };
  if (event.type === 'artifact-finished') return { ...event, outcome: outcomeWith(event.outcome, told) };
  return event;
}

function outcomeWith(outcome: Outcome, told: (failure: Failure) => Failure): Outcome {
  return outcome.kind === 'failed' ? { ...outcome, failures: outcome.failures.map(told) } : outcome;
}
