import { homedir } from 'node:os';
import { join } from 'node:path';
import type { CredentialSource } from '../model/credentials.ts';
import { dockerConfigCredentials } from '../registry/docker-config.ts';
import { variable } from './environment.ts';
import type { Session } from './session.ts';

/** What `docker login` left for this user, credential helpers included. */
export function dockerCredentials(session: Session): CredentialSource {
  const { env, mask } = session;
  const folder = variable(env, 'DOCKER_CONFIG') ?? join(variable(env, 'HOME') ?? homedir(), '.docker');
  return dockerConfigCredentials({ path: join(folder, 'config.json'), environment: env, mask });
}
