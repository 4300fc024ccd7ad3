import { afterEach, describe, expect, it, vi } from 'vitest';
import { type JsonApiServer, startJsonApiServer } from '../../test/json-api-server.ts';
import { refusal } from '../../test/refusal.ts';
import type { Aws } from './clients.ts';
import { awsAt } from './test-support.ts';
import { credentialSourceFromSecret, withheldHosts } from './secret-source.ts';
import { loadSecret, readSecret, type Secret } from './secrets.ts';

describe('secrets', () => {
  let server: JsonApiServer;
  let aws: Aws;

  afterEach(async () => {
    vi.unstubAllEnvs();
    await aws.close();
    await server.close();
  });

  /** Secrets Manager with one secret, `repo-secret`. */
  async function store(content: unknown): Promise<void> {
    const SecretString = typeof content === 'string' ? content : JSON.stringify(content);
    server = await startJsonApiServer((operation, input) =>
      operation === 'GetSecretValue' && JSON.stringify(input).includes('"repo-secret"')
        ? { output: { Name: 'repo-secret', SecretString } }
        : { error: 'ResourceNotFoundException', message: "Secrets Manager can't find the specified secret." },
    );
    aws = awsAt({ SECRETS_MANAGER: server.url });
  }
  async function load(content: unknown): Promise<Secret> {
    await store(content);
    return loadSecret(aws, 'repo-secret');
  }
  const pair = (name: string) => ({ username: `${name}-user`, password: `${name}-password` });

  it('are flat or nested one level', async () => {
    await store({ ...pair('top'), nexus: pair('nexus'), pin: { username: 'u', password: 12345 } });
    expect(await readSecret(aws, 'repo-secret')).toMatchObject({ username: 'top-user', password: 'top-password' });
    expect(await readSecret(aws, 'repo-secret', '')).toMatchObject({ username: 'top-user' });
    expect(await readSecret(aws, 'repo-secret', 'nexus')).toMatchObject({ password: 'nexus-password' });
    expect(await readSecret(aws, 'repo-secret', 'pin')).toMatchObject({ password: '12345' });
  });

  it('are masked from the moment they are read', async () => {
    await load({ ...pair('top'), nexus: pair('nexus') });
    const basic = Buffer.from('nexus-user:nexus-password').toString('base64');
    expect(aws.mask.mask(`top-password nexus-password ${basic}`)).toBe('****** ****** ******');
  });

  it('that do not exist are named', async () => {
    await store({});
    const error = await refusal(readSecret(aws, 'other-secret'));
    expect(error.code).toBe('configuration');
    expect(error.message).toBe('secret "other-secret" does not exist in eu-central-1');
  });

  it('with a missing key say which keys there are, and no values', async () => {
    await store({ nexus: pair('nexus'), 'quay.io': pair('quay') });
    for (const key of ['artifactory', undefined]) {
      const error = await refusal(readSecret(aws, 'repo-secret', key));
      expect(error.code).toBe('configuration');
      expect(error.message).toContain('its keys are: nexus, quay.io');
      expect(JSON.stringify([error.message, error.remedy])).not.toMatch(/-password|-user/);
    }
  });

  it.each([
    ['no JSON', 'hunter2hunter2', 'is no JSON object'],
    ['a list', ['hunter2hunter2'], 'is no JSON object'],
    ['no username', { password: 'hunter2hunter2' }, 'no username and password'],
    ['swapped key and value', { hunter2hunter2hunter2: 'password', 'hunter2 hunter2': '' }, 'no username and password'],
  ])('with %s are refused without being quoted', async (_, content, message) => {
    await store(content);
    const error = await refusal(readSecret(aws, 'repo-secret'));
    expect(error.code).toBe('configuration');
    expect(error.message).toContain(message);
    if (message === 'is no JSON object')
      expect(JSON.stringify([error.message, error.stack, String(error.cause)])).not.toContain('hunter2');
    expect(error.message).not.toContain('hunter2 hunter2');
  });

  describe('go only where they belong:', () => {
    const allowedHosts = new Set(['nexus.corp:8443', 'charts.corp', 'ghcr.io', 'docker.io']);
    const give = async (secret: Secret, host: string, key?: string): Promise<string | undefined> => {
      const credential = await credentialSourceFromSecret(secret, { key, allowedHosts }).credentialFor(host);
      return credential?.kind === 'basic' ? credential.username : undefined;
    };

    it('a flat one to allowed hosts, with their port, and to no other', async () => {
      const secret = await load(pair('top'));
      expect(await give(secret, 'nexus.corp:8443')).toBe('top-user');
      expect(await give(secret, 'charts.corp')).toBe('top-user');
      expect(await give(secret, 'charts.corp:443')).toBe('top-user');
      for (const host of ['nexus.corp', 'nexus.corp:9443', 'sub.charts.corp', 'charts.corp.evil.example', 'quay.io'])
        expect(await give(secret, host), host).toBeUndefined();
    });

    it('a flat one never to a public registry, even where a mapping names it', async () => {
      const secret = await load(pair('top'));
      expect(await give(secret, 'ghcr.io')).toBeUndefined();
      expect(await give(secret, 'registry-1.docker.io')).toBeUndefined();
      expect(withheldHosts(secret, { allowedHosts })).toEqual(['docker.io', 'ghcr.io']);
    });

    it('a nested one under a host to that host only', async () => {
      const secret = await load({
        ...pair('top'),
        'ghcr.io': pair('ghcr'),
        'https://index.docker.io/v1/': pair('hub'),
        'reg.corp:5000': pair('reg'),
      });
      expect(await give(secret, 'ghcr.io')).toBe('ghcr-user');
      expect(await give(secret, 'docker.io')).toBe('hub-user');
      expect(await give(secret, 'reg.corp:5000')).toBe('reg-user');
      expect(await give(secret, 'reg.corp')).toBeUndefined();
      expect(withheldHosts(secret, { allowedHosts })).toEqual([]);
    });

    it('the one that the key picks like a flat one, unless the key is a host', async () => {
      const secret = await load({ ...pair('top'), nexus: pair('nexus'), 'reg.corp': pair('reg') });
      expect(await give(secret, 'charts.corp', 'nexus')).toBe('nexus-user');
      expect(await give(secret, 'charts.corp', 'reg.corp')).toBeUndefined();
      expect(await give(secret, 'reg.corp', 'reg.corp')).toBe('reg-user');
    });

    it('and a secret of words without a key is refused, one of hosts is not', async () => {
      const words = await load({ nexus: pair('nexus') });
      expect((await refusal(() => credentialSourceFromSecret(words, { allowedHosts }))).remedy).toContain('nexus');
      await aws.close();
      await server.close();
      const hosts = await load({ 'reg.corp': pair('reg') });
      expect(await give(hosts, 'reg.corp')).toBe('reg-user');
      expect(await give(hosts, 'charts.corp')).toBeUndefined();
    });
  });
});
