import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../src/testing/certificates.ts';
import { startProxyServer } from '../src/testing/proxy-server.ts';
import { type RegistryServer, startRegistryServer } from '../src/testing/registry-server.ts';
import type { Variables } from './program.ts';
import { type Account, startAccount } from './seedfarmer/account.ts';

export const sourceAccount = '111122223333';
export const destinationAccount = '444455556666';
export const sourceHost = `${sourceAccount}.dkr.ecr.eu-west-1.amazonaws.com`;
export const destinationHost = `${destinationAccount}.dkr.ecr.cn-northwest-1.amazonaws.com.cn`;

/**
 * Two registries of ECR in different accounts and partitions under their real names, and an account of moto's as the
 * program's own: its parameters, topics, tables and roles.
 */
export interface EcrWorld {
  readonly source: RegistryServer;
  readonly destination: RegistryServer;
  readonly home: Account;
  readonly folder: string;
  readonly env: Variables;
  close(): Promise<void>;
}

export async function startEcrWorld(): Promise<EcrWorld> {
  const [authority, proxy, home, folder] = await Promise.all([
    createAuthority(),
    startProxyServer(),
    startAccount('eu-west-1'),
    mkdtemp(join(tmpdir(), 'image-replication-test-')),
  ]);
  const registry = async (accountId: string, region: string, partition: string, suffix: string) => {
    const hostName = `${accountId}.dkr.ecr.${region}.${suffix}`;
    const storageHostName = `prod-${region}-starport-layer-bucket.s3.${region}.${suffix}`;
    const api = `api.ecr.${region}.${suffix}`;
    const tls = await authority.issue([hostName, storageHostName, api]);
    const server = await startRegistryServer({
      manners: 'ecr',
      accountId,
      region,
      partition,
      hostName,
      storageHostName,
      tls,
    });
    for (const name of [hostName, api]) proxy.route(`${name}:443`, server.host);
    proxy.route(`${storageHostName}:443`, server.storageHost);
    return server;
  };
  const source = await registry(sourceAccount, 'eu-west-1', 'aws', 'amazonaws.com');
  const destination = await registry(destinationAccount, 'cn-northwest-1', 'aws-cn', 'amazonaws.com.cn');
  const caFile = join(folder, 'ca.pem');
  await writeFile(caFile, authority.certificate);
  for (const name of ['home', 'tmp']) await mkdir(join(folder, name));
  return {
    source,
    destination,
    home,
    folder,
    env: {
      PATH: process.env['PATH'],
      HOME: join(folder, 'home'),
      TMPDIR: join(folder, 'tmp'),
      HTTPS_PROXY: proxy.url,
      NODE_EXTRA_CA_CERTS: caFile,
      AWS_REGION: 'eu-west-1',
      AWS_ACCESS_KEY_ID: 'AKIAHOME',
      AWS_SECRET_ACCESS_KEY: 'home-secret-access-key',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
      AWS_ENDPOINT_URL_SSM: home.endpoint,
      AWS_ENDPOINT_URL_SNS: home.endpoint,
      AWS_ENDPOINT_URL_STS: home.endpoint,
      AWS_ENDPOINT_URL_DYNAMODB: home.endpoint,
    },
    async close() {
      await Promise.all([source.close(), destination.close(), proxy.close(), home.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Access key ids that signed the calls to a registry's interface. */
export function callersOf(server: RegistryServer): readonly string[] {
  const keys = server.requests
    .of('api')
    .map(({ headers }) => /Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1] ?? '');
  return [...new Set(keys)].sort();
}
