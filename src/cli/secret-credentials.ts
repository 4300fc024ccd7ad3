import type { Aws } from '../aws/clients.ts';
import { credentialSourceFromSecret, withheldHosts, withheldNotice } from '../aws/secret-source.ts';
import { loadSecret } from '../aws/secrets.ts';
import type { CredentialSource } from '../model/credentials.ts';
import type { SecretPointer } from './eks-settings.ts';
import type { Session } from './session.ts';

/** Credentials of the secret that the parameters name, for hosts that it names itself and for `ownHosts`. @throws ReplicationError */
export async function secretCredentials(
  session: Session,
  { name, key }: SecretPointer,
  ownHosts: ReadonlySet<string>,
  aws: Aws,
): Promise<CredentialSource> {
  const secret = await loadSecret(aws, name, session.signal);
  const scope = { key, allowedHosts: ownHosts };
  for (const host of withheldHosts(secret, scope))
    session.reporter.emit({ type: 'notice', level: 'warning', message: withheldNotice(secret, host) });
  return credentialSourceFromSecret(secret, scope);
}
