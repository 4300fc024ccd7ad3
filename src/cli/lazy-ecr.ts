import type { Aws } from '../aws/clients.ts';
import { parseEcrHost } from '../aws/ecr-hosts.ts';
import type { CredentialSource } from '../model/credentials.ts';
import type { WriteStore } from '../model/store.ts';
import { defaultRepositorySettings, ecrStore } from './ecr-store.ts';
import { variable } from './environment.ts';
import type { Session } from './session.ts';

/** ECR for jobs that may or may not meet it: the AWS SDK is loaded only once a host turns out to be ECR's. */
export interface LazyEcr {
  /** Tokens for hosts on private ECR. */
  readonly credentials: CredentialSource;
  /** The host as a target where repositories are created; `undefined` when it is not ECR's. */
  readonly target: (host: string) => Promise<WriteStore> | undefined;
  close(): Promise<void>;
}

/** @param region where the program runs; without it, and without one in the environment, the first host's own */
export function lazyEcr(session: Session, region: string | undefined): LazyEcr {
  let aws: Promise<Aws> | undefined;
  let sources: Promise<CredentialSource> | undefined;
  const open = (hostRegion: string): Promise<Aws> => {
    aws ??= import('../aws/clients.ts').then(({ createAws }) =>
      createAws({
        network: session.network,
        region: region ?? variable(session.env, 'AWS_REGION', 'AWS_DEFAULT_REGION') ?? hostRegion,
        mask: session.mask,
      }),
    );
    return aws;
  };
  return {
    credentials: {
      async credentialFor(host, options) {
        const found = parseEcrHost(host);
        if (found === undefined) return undefined;
        sources ??= Promise.all([import('../aws/ecr-sources.ts'), open(found.region)]).then(([module, clients]) =>
          module.ecrCredentialsForSources(clients),
        );
        return (await sources).credentialFor(host, options);
      },
    },
    target(host) {
      const found = parseEcrHost(host);
      if (found === undefined) return undefined;
      return (async () => {
        const [{ ecrRegistry }, clients] = await Promise.all([import('../aws/ecr.ts'), open(found.region)]);
        const ecr = await ecrRegistry(clients, {
          region: found.region,
          registryId: found.accountId,
          settings: defaultRepositorySettings,
          tags: {},
          reporter: session.reporter,
          signal: session.signal,
        });
        // The host as it was asked for: it may be another name of the same registry, such as a FIPS endpoint.
        return ecrStore(session.transport, { ...ecr, host, baseUrl: undefined });
      })();
    },
    close: async () => (await aws)?.close(),
  };
}
