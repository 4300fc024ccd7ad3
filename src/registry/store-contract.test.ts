import { noCredentials } from '../model/credentials.ts';
import { storeContract } from '../layout/store-contract.ts';
import { startRegistryServer } from '../testing/registry-server.ts';
import { registryStore } from './store.ts';
import { testTransport } from './test-host.ts';

const user = { username: 'someone', password: 'secret-word' };
const credentials = { credentialFor: () => Promise.resolve({ kind: 'basic' as const, ...user }) };

storeContract('registry, open', async () => {
  const server = await startRegistryServer({ manners: 'plain', auth: { kind: 'none' } });
  const transport = testTransport();
  const store = registryStore(transport, server.host, { credentials: noCredentials });
  return { store, close: () => Promise.all([transport.close(), server.close()]).then(() => undefined) };
});

storeContract('registry with Basic, blobs elsewhere, no referrers API', async () => {
  const auth = { kind: 'basic' as const, ...user };
  const server = await startRegistryServer({ manners: 'plain', auth, blobRedirect: true, referrersApi: false });
  const transport = testTransport();
  const store = registryStore(transport, server.host, { credentials });
  return { store, close: () => Promise.all([transport.close(), server.close()]).then(() => undefined) };
});

storeContract('registry with Bearer tokens from another host', async () => {
  const auth = { kind: 'bearer' as const, ...user, separateTokenServer: true };
  const server = await startRegistryServer({ manners: 'plain', auth });
  const transport = testTransport();
  const store = registryStore(transport, server.host, { credentials });
  return { store, close: () => Promise.all([transport.close(), server.close()]).then(() => undefined) };
});

storeContract(
  'ECR',
  async () => {
    const server = await startRegistryServer({
      manners: 'ecr',
      auth: { kind: 'none' },
      blobRedirect: true,
      mounting: true,
    });
    const transport = testTransport();
    const store = registryStore(transport, server.host, {
      credentials: noCredentials,
      mounting: 'after-manifest',
      control: {
        ensureRepository(repository) {
          if (server.repository(repository) !== undefined) return Promise.resolve('existing');
          server.createRepository(repository);
          return Promise.resolve('created');
        },
      },
    });
    return { store, close: () => Promise.all([transport.close(), server.close()]).then(() => undefined) };
  },
  { sha512: false },
);
