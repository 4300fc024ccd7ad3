import type { CredentialSource } from '../model/credentials.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { RegistryControl, WriteStore } from '../model/store.ts';
import type { Reporter } from '../report/events.ts';
import type { Aws } from './clients.ts';
import { ecrContents } from './ecr-contents.ts';
import { ensurer } from './ecr-ensure.ts';
import { parseEcrHost } from './ecr-hosts.ts';
import { ecrTokens } from './ecr-token.ts';
import { accountId } from './identity.ts';
import { repositories, type RepositorySettings, type Tags } from './repositories.ts';

export interface EcrRegistryOptions {
  /** Default: the region of `aws`. */
  readonly region?: string | undefined;
  /** Account of the registry, when it is not the caller's own. */
  readonly registryId?: string | undefined;
  /** The caller's account, where it is known (AWS_ACCOUNT_ID): needed only when the registry's host does not tell it. */
  readonly accountId?: string | undefined;
  readonly settings: RepositorySettings;
  /** Tags for every repository that is used, the owner tag among them. */
  readonly tags: Tags;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal | undefined;
}

/** An account's private registry, as the registry client needs it. */
export interface EcrRegistry {
  /** Host as references write it, port kept: always ECR's own answer, which makes it right in every partition. */
  readonly host: string;
  /** Scheme and host of the data plane. */
  readonly baseUrl: string;
  readonly accountId: string;
  /** For this host only. */
  readonly credentials: CredentialSource;
  readonly control: Required<RegistryControl>;
  readonly mounting: Exclude<WriteStore['mounting'], 'after-upload'>;
}

/** Asks ECR where its registry is and with what credential; the same answer gives the first token. */
export async function ecrRegistry(aws: Aws, options: EcrRegistryOptions): Promise<EcrRegistry> {
  const { region = aws.region, registryId } = options;
  const signal = options.signal ?? new AbortController().signal;
  const client = () => aws.ecr(region);
  const tokens = ecrTokens(client, { mask: aws.mask, registryId });
  const [{ proxyEndpoint }, mounting] = await Promise.all([tokens.current(), blobMounting(aws, region, signal)]);
  const { host, origin } = endpoint(proxyEndpoint);
  return {
    host,
    baseUrl: origin,
    accountId: registryId ?? parseEcrHost(host)?.accountId ?? (await accountId(aws, options.accountId, signal)),
    credentials: {
      credentialFor: async (asked, state) =>
        asked.toLowerCase() === host.toLowerCase() ? (await tokens.current(state)).credential : undefined,
    },
    control: {
      ensureRepository: ensurer(repositories(client, registryId), options),
      ...ecrContents(client, registryId),
    },
    mounting,
  };
}

function endpoint(proxyEndpoint: string): URL {
  const text = proxyEndpoint.includes('://') ? proxyEndpoint : `https://${proxyEndpoint}`;
  if (!URL.canParse(text))
    throw new ReplicationError('corrupt', `ecr:GetAuthorizationToken answered "${proxyEndpoint}" as its endpoint`);
  return new URL(text);
}

/**
 * Whether the account lets blobs be mounted from one repository into another. The setting belongs to the whole account,
 * so it is read and never changed. Where it cannot be read mounts are tried: a refused one is an ordinary upload.
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html
 */
async function blobMounting(aws: Aws, region: string, signal: AbortSignal): Promise<EcrRegistry['mounting']> {
  try {
    const client = await aws.ecr(region);
    const setting = await client.getAccountSetting({ name: 'BLOB_MOUNTING' }, { abortSignal: signal });
    return setting.value === 'DISABLED' ? 'never' : 'after-manifest';
  } catch (error) {
    // Without credentials or network nothing else works either, and the token's own error says so better.
    if (isReplicationError(error, 'cancelled')) throw error;
    return 'after-manifest';
  }
}
