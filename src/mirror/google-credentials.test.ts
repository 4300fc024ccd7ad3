import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { SecretMask } from '../model/secrets.ts';
import { googleCredentials } from './google-credentials.ts';

it("hands the metadata server's token to Google's registries alone, and renews it", async () => {
  let asked = 0;
  let status = 200;
  const server = createServer((request, response) => {
    const right = request.headers['metadata-flavor'] === 'Google';
    const path = '/computeMetadata/v1/instance/service-accounts/default/token';
    response.writeHead(right && request.url === path ? status : 403);
    asked += 1;
    response.end(JSON.stringify({ access_token: `ya29.token-${asked}`, expires_in: 3600, token_type: 'Bearer' }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  let now = 0;
  const mask = new SecretMask();
  const metadataHost = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const source = googleCredentials({ metadataHost, mask, now: () => now });
  const password = async (host: string, rejected = false): Promise<unknown> => {
    const credential = await source.credentialFor(host, { rejected });
    return credential?.kind === 'basic' ? [credential.username, credential.password] : undefined;
  };
  try {
    for (const host of [
      'docker.io',
      'example.com',
      'europe-docker.pkg.dev.example.com',
      'gcr.io.example.com',
      'pkg.dev',
    ])
      expect(await password(host)).toBeUndefined();
    expect(asked).toBe(0);
    const first = ['oauth2accesstoken', 'ya29.token-1'];
    expect(await Promise.all([password('europe-docker.pkg.dev'), password('eu.gcr.io')])).toEqual([first, first]);
    now = 3_000_000;
    expect(await password('gcr.io')).toEqual(first);
    now = 3_500_000;
    expect(await password('gcr.io')).toEqual(['oauth2accesstoken', 'ya29.token-2']);
    expect(await password('gcr.io', true)).toEqual(['oauth2accesstoken', 'ya29.token-3']);
    expect(mask.mask('ya29.token-3')).toBe('******');
    status = 404;
    await expect(password('gcr.io', true)).rejects.toThrow(`${metadataHost}: it answered 404`);
    status = 200;
    expect(await password('gcr.io')).toEqual(['oauth2accesstoken', 'ya29.token-5']);
  } finally {
    server.close();
  }
});
