import type { CredentialSource } from '../model/credentials.ts';
import type { Aws } from './clients.ts';
import { parseEcrHost } from './ecr-hosts.ts';
import { type EcrTokens, ecrTokens } from './ecr-token.ts';

/**
 * Credentials for sources on private ECR, in whatever account (the AWS-owned add-on accounts among them): a token of
 * the host's own region. A token is good for every registry that the caller may read there, so one serves a region.
 */
export function ecrCredentialsForSources(aws: Aws): CredentialSource {
  const regions = new Map<string, EcrTokens>();
  return {
    async credentialFor(host, options) {
      const region = parseEcrHost(host)?.region;
      if (region === undefined) return undefined;
      const tokens = regions.get(region) ?? ecrTokens(() => aws.ecr(region), { mask: aws.mask });
      regions.set(region, tokens);
      return (await tokens.current(options)).credential;
    },
  };
}
