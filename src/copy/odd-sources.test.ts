import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { CredentialSource } from '../model/credentials.ts';
import { copyOf, expectHeld, failuresOf, kindsOf, largeImage, type Place, patient, testWorld, type TestWorld } from '../../test/copy-world.ts'; // prettier-ignore
import { type Asked, type Doing, type Front, frontOf } from '../../test/registry-front.ts';

/** Sources that answer as the specification does not foresee, and are read all the same. Every byte at the target is checked. */
const login = { username: 'robot', password: 'only-for-this-test' };
const credentials: CredentialSource = { credentialFor: () => Promise.resolve({ kind: 'basic', ...login }) };

const isManifest = ({ path }: Asked): boolean => path.includes('/manifests/');
const isBlob = ({ path }: Asked): boolean => /\/blobs\/sha/.test(path);

interface Scene {
  readonly world: TestWorld;
  readonly source: Front;
  readonly target: Place;
}

/** An image of two platforms with a layer that is streamed, behind such a source. */
async function copied(doing: (asked: Asked) => Doing | undefined, server = {}, runs = 1): Promise<Scene> {
  const world = await testWorld(patient);
  const behind = await world.registry(server);
  const source = await frontOf(world, behind.server, doing, { credentials });
  const target = await world.registry();
  const image = await largeImage('app');
  await behind.server.putImage('app', '1', image);
  for (let run = 1; run <= runs; run += 1) {
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect(kindsOf(outcomes)).toEqual([run === 1 ? 'copied' : 'unchanged']);
  }
  await expectHeld(target, image);
  return { world, source, target };
}

describe('a source', () => {
  it.each([400, 401, 403, 405, 406, 501])('that answers HEAD with %i: GET tells', async (status) => {
    const refuse = ({ method }: Asked): Doing | undefined =>
      method === 'HEAD' ? { kind: 'answer', status } : undefined;
    const { target } = await copied(refuse, {}, 2);
    expect(target.server.count('manifest-put')).toBe(3);
  });

  it('that names neither digest nor length of anything: the bytes tell', async () => {
    const bare = { 'docker-content-digest': undefined, 'content-length': undefined, etag: undefined };
    const { source, target } = await copied(() => ({ kind: 'change', headers: bare }), {}, 2);
    expect(target.server.count('manifest-put')).toBe(3);
    expect(source.asked.filter(isBlob)).toHaveLength(5);
  });

  it('that calls manifests something else', async () => {
    const types = ['text/plain; charset=utf-8', 'application/json', 'application/octet-stream'];
    let n = 0;
    await copied((asked) =>
      isManifest(asked) ? { kind: 'change', headers: { 'content-type': types[(n += 1) % 3] } } : undefined,
    );
  });

  it.each(['sized', 'chunked'])('that compresses all answers, unasked, %s', async (how) => {
    const compress = (asked: Asked): Doing => ({
      kind: 'change',
      headers: { 'content-encoding': 'gzip', ...(how === 'chunked' ? { 'content-length': undefined } : {}) },
      body: (bytes) => (asked.method === 'HEAD' ? bytes : gzipSync(bytes)),
    });
    const { source } = await copied((asked) => compress(asked), {}, 2);
    expect(source.asked.filter(({ headers }) => headers['accept-encoding'] !== 'identity')).toEqual([]);
  });

  it.each<[string, (bytes: Buffer) => Uint8Array]>([
    ['cut short', (bytes) => gzipSync(bytes).subarray(0, -20)],
    ['no gzip at all', (bytes) => bytes.subarray(1)],
  ])('whose compressed blob is %s once: it is read again', async (_name, body) => {
    let spoilt = 0;
    const headers = { 'content-encoding': 'gzip', 'content-length': undefined };
    const { source } = await copied((asked) => {
      if (!isBlob(asked)) return undefined;
      return { kind: 'change', headers, body: (spoilt += 1) <= 2 ? body : (bytes) => gzipSync(bytes) };
    });
    expect(source.asked.filter(isBlob)).toHaveLength(5 + 2);
  });

  it('that says gzip of blobs that are not compressed for the way: their bytes count', async () => {
    await copied((asked) => (isBlob(asked) ? { kind: 'change', headers: { 'content-encoding': 'gzip' } } : undefined));
  });
});

describe('a storage behind a source', () => {
  const expired: [string, Doing & { kind: 'answer' }][] = [
    ['403', { kind: 'answer', status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }],
    // S3, when the credentials that signed the address have expired: "The provided token has expired."
    ['400', { kind: 'answer', status: 400, body: '<Error><Code>ExpiredToken</Code></Error>' }],
    ['410', { kind: 'answer', status: 410 }],
  ];
  it.each(expired)('whose signed addresses have expired when they are used first (%s)', async (_name, refusal) => {
    const world = await testWorld(patient);
    const behind = await world.registry({ auth: { kind: 'bearer', ...login }, blobRedirect: true });
    const image = await largeImage('app');
    await behind.server.putImage('app', '1', image);
    // The first address that is given out for each blob is good no more.
    const storage = await frontOf(
      world,
      { ...behind.server, url: `http://${behind.server.storageHost}` },
      ({ path, headers }) => {
        expect(headers.authorization).toBeUndefined();
        const before = storage.asked.filter((each) => each.path.split('?')[0] === path.split('?')[0]);
        return before.length === 1 ? refusal : undefined;
      },
    );
    const toStorage = ({ location = '' }: { location?: string | undefined }): Record<string, string> => ({
      location: location.replace(behind.server.storageHost, storage.host),
    });
    const source = await frontOf(
      world,
      behind.server,
      (asked) => (isBlob(asked) ? { kind: 'change', headers: ({ location }) => toStorage({ location }) } : undefined),
      { credentials },
    );
    const target = await world.registry();
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    await expectHeld(target, image);
    expect(storage.asked).toHaveLength(2 * image.blobs.size);
    expect(source.asked.filter(isBlob)).toHaveLength(2 * image.blobs.size);
  });
});
