import type { EcrRegistry } from '../aws/ecr.ts';
import type { RepositorySettings } from '../aws/repositories.ts';
import type { WriteStore } from '../model/store.ts';
import { registryStore } from '../registry/store.ts';
import type { Transport } from '../registry/transport.ts';

/** Of repositories that a job makes which has no parameters for them: those of the EKS module's parameters. */
export const defaultRepositorySettings: RepositorySettings = {
  scanOnPush: true,
  immutableTags: false,
  encryptionKey: 'AES256',
};

export type EcrStoreParts = Pick<EcrRegistry, 'host' | 'credentials' | 'control' | 'mounting'> & {
  readonly baseUrl?: string | undefined;
};

/** An account's own registry as a store to write to, with ECR's quotas. */
export function ecrStore(transport: Transport, parts: EcrStoreParts): WriteStore {
  const { host, ...rest } = parts;
  return registryStore(transport, host, {
    ...rest,
    // The host is ECR's own answer, so its token may be sent at once, without waiting for a challenge.
    authenticateFirst: true,
    // PutImage, "Amazon ECR service quotas": 10 a second in a region and account, unless AWS has raised it.
    writesPerSecond: { manifest: { rate: 10, burst: 10 } },
  });
}
