import { describe, expect, it } from 'vitest';
import type { CredentialSource } from '../model/credentials.ts';
import {
  copyOf,
  expectHeld,
  failuresOf,
  largeImage,
  manyImages,
  patient,
  testWorld,
  tinyImage,
} from '../../test/copy-world.ts';
import { type Asked, type Doing, type Front, frontOf } from '../../test/registry-front.ts';

/** Registries whose token servers, scopes and challenges are not the usual ones, and tokens that end while requests wait. */
const login = { username: 'robot', password: 'only-for-this-test' };
const credentials: CredentialSource = { credentialFor: () => Promise.resolve({ kind: 'basic', ...login }) };
const bearer = { kind: 'bearer', ...login } as const;

/** A front that takes tokens of its own making, each good for just the scopes that were asked for with it. */
function tokens(wanted: (asked: Asked) => string): {
  readonly doing: (asked: Asked) => Doing | undefined;
  readonly refused: () => number;
} {
  const issued = new Map<string, readonly string[]>();
  let refused = 0;
  const doing = (asked: Asked): Doing | undefined => {
    const url = new URL(asked.path, `http://${asked.headers.host ?? ''}`);
    if (url.pathname === '/own-token') {
      const token = `token-${issued.size}`;
      issued.set(`Bearer ${token}`, url.searchParams.getAll('scope'));
      return { kind: 'answer', status: 200, body: JSON.stringify({ token, expires_in: 300 }) };
    }
    const scope = wanted(asked);
    if (issued.get(asked.headers.authorization ?? '')?.includes(scope) === true) return undefined;
    refused += 1;
    const challenge = `Bearer realm="${url.origin}/own-token",service="s",scope="${scope}"`;
    return { kind: 'answer', status: 401, headers: { 'www-authenticate': challenge } };
  };
  return { doing, refused: () => refused };
}
const repositoryOf = ({ path }: Asked): string =>
  /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(path)?.[1] ?? '';

describe('a registry that asks', () => {
  it('for all actions at once is asked for them, once; streamed uploads arrive', async () => {
    const world = await testWorld(patient);
    const source = await world.registry();
    const behind = await world.registry({ mounting: false });
    const { doing, refused } = tokens((asked) => `repository:${repositoryOf(asked)}:*`);
    const target = await frontOf(world, behind.server, doing, { credentials, mounting: 'never' });
    const image = await largeImage('app');
    await source.server.putImage('app', '1', image);
    expect(failuresOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual([]);
    await expectHeld(target, image);
    // Those that were under way together for pulling, and for pushing.
    expect(refused()).toBeLessThanOrEqual(6);
  });

  it('for its repositories by other names gets tokens for these, side by side', async () => {
    const world = await testWorld(patient);
    const behind = await world.registry();
    const { doing, refused } = tokens((asked) => `repository:inner/${repositoryOf(asked)}:pull`);
    const source = await frontOf(world, behind.server, doing, { credentials });
    const target = await world.registry();
    const many = await manyImages(source, target, 6);
    expect(failuresOf((await world.copy(many.map(({ request }) => request))).outcomes)).toEqual([]);
    for (const { image, request } of many) await expectHeld(target, image, `mirror/${request.source.repository}`);
    // A tag and a list of tags are asked for at once.
    expect(refused()).toBeLessThanOrEqual(2 * many.length);
  });
});

describe('a token', () => {
  it.each<[string, Record<string, string>]>([
    ['without saying why', {}],
    ['with another scheme first', { 'www-authenticate': 'Negotiate, NTLM TlRMTVNTUAAC==' }],
  ])('that is refused now and then though it is good (401 %s) is renewed', async (_name, headers) => {
    const world = await testWorld(patient);
    const [a, b] = [await world.registry({ auth: bearer }), await world.registry({ auth: bearer })];
    const uses = new Map<string, number>();
    const doing = ({ headers: { authorization = '' } }: Asked): Doing | undefined => {
      if (!authorization.startsWith('Bearer')) return undefined;
      const count = (uses.get(authorization) ?? 0) + 1;
      uses.set(authorization, count);
      return count === 4 ? { kind: 'answer', status: 401, headers } : undefined;
    };
    const fronted = async (behind: typeof a): Promise<Front> => frontOf(world, behind.server, doing, { credentials });
    const [source, target] = [await fronted(a), await fronted(b)];
    const image = await largeImage('app');
    await source.server.putImage('app', '1', image);
    expect(failuresOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual([]);
    await expectHeld(target, image);
    expect([...uses.values()].filter((count) => count >= 4).length).toBeGreaterThan(2);
  });

  it('that ends many times while manifests wait for a limit: all are written', async () => {
    const world = await testWorld(patient);
    const source = await world.registry();
    // A place every eighth of a second, tokens of one second, and 16 manifests that wait together: for two.
    const manifest = { rate: 0.4, burst: 1 };
    const target = await world.registry(
      { auth: { ...bearer, expiresIn: 1 } },
      { credentials, writesPerSecond: { manifest } },
    );
    const many = await manyImages(source, target, 16, 'app', tinyImage);
    const { outcomes } = await world.copy(many.map(({ request }) => request));
    expect(failuresOf(outcomes)).toEqual([]);
    for (const { image, request } of many) await expectHeld(target, image, `mirror/${request.source.repository}`);
  });

  it('that ends while its host wants to be left alone: what waited goes on with a new one', async () => {
    const world = await testWorld(patient);
    const short = { auth: { ...bearer, expiresIn: 0.6 } };
    const [source, target] = [
      await world.registry(short, { credentials }),
      await world.registry(short, { credentials }),
    ];
    const image = await largeImage('app');
    await source.server.putImage('app', '1', image);
    // 14 seconds are 0.7 here: longer than any token lives.
    const fault = { kind: 'status', status: 429, headers: { 'Retry-After': '14' } } as const;
    source.server.fail({ class: 'manifest-get', skip: 1, times: 2, fault });
    for (const each of ['upload-put', 'manifest-put'] as const) target.server.fail({ class: each, skip: 1, fault });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect([source.server.faults.pending, target.server.faults.pending]).toEqual([0, 0]);
    await expectHeld(target, image);
  });
});
