import { credentialForHost } from '../../aws/secret-source.ts';
import { readSecret } from '../../aws/secrets.ts';
import { ensureHelm, type Helm } from '../../charts/helm.ts';
import { type CredentialSource, noCredentials } from '../../model/credentials.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { httpDownloads } from '../../registry/download.ts';
import { openAws } from '../aws-session.ts';
import { helmDistroSettings, type HelmDistro } from '../eks-settings.ts';
import { cacheDirectory, variable } from '../environment.ts';
import type { JobResult, Session } from '../session.ts';

/** Makes sure that there is a helm to render charts with, and says which. */
export async function runHelm(session: Session): Promise<JobResult> {
  const helm = await findHelm(session, helmDistroSettings(session.env));
  session.reporter.emit({ type: 'notice', level: 'info', message: `helm ${helm.version}: ${helm.path}` });
  return { failures: [], totals: undefined };
}

/** The helm of this run: HelmDistroUrl, a suitable one on PATH, or the pinned release; fetched once per machine. */
export async function findHelm(session: Session, distro: HelmDistro): Promise<Helm> {
  const { env } = session;
  const found = ensureHelm({
    url: distro.url,
    checksum: distro.checksum,
    searchPath: variable(env, 'PATH') ?? '',
    cacheDirectory: cacheDirectory(env),
    downloads: httpDownloads(session.transport, await distroCredentials(session, distro)),
    platform: process.platform,
    arch: process.arch,
    signal: session.signal,
    notice: (message) => session.reporter.emit({ type: 'notice', level: 'warning', message }),
  });
  return found.catch((error: unknown) => {
    throw distro.url === undefined ? withOtherWays(error) : error;
  });
}

/** Nobody has asked for get.helm.sh: whoever cannot reach it wants to know what else there is. */
export function withOtherWays(error: unknown): unknown {
  if (!isReplicationError(error) || !['unreachable', 'unavailable', 'denied', 'not-found'].includes(error.code))
    return error;
  return new ReplicationError(error.code, `there is no suitable helm on PATH, and ${error.message}`, {
    side: error.side,
    reference: error.reference,
    host: error.host,
    status: error.status,
    remedy: `put helm 3.8 or newer on PATH, or name an archive that can be reached with HelmDistroUrl (SEEDFARMER_PARAMETER_HELM_DISTRO_URL); else ${error.remedy ?? 'run again later'}`,
    cause: error,
  });
}

/** The distribution's secret goes to the host of HelmDistroUrl and nowhere else. */
async function distroCredentials(session: Session, { url, secret }: HelmDistro): Promise<CredentialSource> {
  if (secret === undefined) return noCredentials;
  if (url === undefined || !URL.canParse(url)) {
    throw new ReplicationError(
      'configuration',
      'HelmDistroSecretName is set, but HelmDistroUrl is not a URL that it could be for',
      { remedy: 'set HelmDistroUrl, or leave out HelmDistroSecretName' },
    );
  }
  const region = variable(session.env, 'AWS_REGION', 'AWS_DEFAULT_REGION');
  if (region === undefined)
    throw new ReplicationError('configuration', 'the AWS region is missing', { remedy: 'set AWS_REGION' });
  const aws = openAws(session, region);
  try {
    return credentialForHost(new URL(url).host, await readSecret(aws, secret.name, secret.key, session.signal));
  } finally {
    await aws.close();
  }
}
