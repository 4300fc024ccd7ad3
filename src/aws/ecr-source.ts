import type { CredentialSource } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Aws } from './clients.ts';
import { parseEcrHost } from './ecr-hosts.ts';
import { ecrTokens } from './ecr-token.ts';

/** A private registry that is read from. */
export interface EcrSource {
  /** As references write it: ECR's own answer, right in every partition. */
  readonly host: string;
  readonly baseUrl: string;
  readonly accountId: string | undefined;
  /** For this host only. */
  readonly credentials: CredentialSource;
}

/** Asks ECR where an account's registry is; the same answer is the first token. @param registryId when it is not the caller's */
export async function ecrSource(aws: Aws, region: string, registryId: string | undefined): Promise<EcrSource> {
  const tokens = ecrTokens(() => aws.ecr(region), { mask: aws.mask, registryId });
  const { proxyEndpoint } = await tokens.current();
  const text = proxyEndpoint.includes('://') ? proxyEndpoint : `https://${proxyEndpoint}`;
  if (!URL.canParse(text))
    throw new ReplicationError('corrupt', `ecr:GetAuthorizationToken answered "${proxyEndpoint}" as its endpoint`);
  const { host, origin } = new URL(text);
  return {
    host,
    baseUrl: origin,
    accountId: registryId ?? parseEcrHost(host)?.accountId,
    credentials: {
      credentialFor: async (asked, state) =>
        asked.toLowerCase() === host.toLowerCase() ? (await tokens.current(state)).credential : undefined,
    },
  };
}
