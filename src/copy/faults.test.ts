import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CredentialSource } from '../model/credentials.ts';
import { type Digest, digestHex } from '../model/digest.ts';
import { noCredentials } from '../model/credentials.ts';
import { registryStore } from '../registry/store.ts';
import type { FaultAction, FaultRule } from '../testing/faults.ts';
import { buildImage, type ImageContent, withCosignTag } from '../testing/image-builder.ts';
import type { RequestClass } from '../testing/request-log.ts';
import { copyOf, expectHeld, failuresOf, kindsOf, largeImage, manyImages, tinyImage, type Place, smallImage, testWorld } from '../../test/copy-world.ts'; // prettier-ignore

/** What goes wrong on the way: answers, connections, bodies, uploads, tokens, names, disks. Every byte at the target is checked. */
const login = { username: 'robot', password: 'only-for-this-test' };
const credentials: CredentialSource = { credentialFor: () => Promise.resolve({ kind: 'basic', ...login }) };
const bearer = { kind: 'bearer', ...login } as const;

const largest = (image: ImageContent): Digest =>
  [...image.blobs].flatMap(([digest, content]) => ('seed' in content ? [digest] : []))[0] ?? image.digest;

/** Copies two signed images that share a base while each of the rules strikes; all of them have to. */
async function survives(source: readonly FaultRule[], target: readonly FaultRule[]): Promise<void> {
  const world = await testWorld();
  const from = await world.registry({ auth: bearer, blobRedirect: true }, { credentials });
  const to = await world.registry({ auth: bearer }, { credentials });
  const images = new Map(['one', 'two'].map((name) => [name, withCosignTag(buildImage({ name }))]));
  for (const [name, image] of images) {
    await from.server.putImage(name, '1', image);
    // Where the target has an older image, the source is asked by HEAD.
    await to.server.putImage(`mirror/${name}`, '1', tinyImage('older'));
  }
  for (const rule of source) from.server.fail(rule);
  for (const rule of target) to.server.fail(rule);
  const { outcomes } = await world.copy([...images.keys()].map((name) => copyOf(from, to, name)));
  expect(failuresOf(outcomes)).toEqual([]);
  expect([from.server.faults.pending, to.server.faults.pending]).toEqual([0, 0]);
  for (const [name, image] of images) await expectHeld(to, image, `mirror/${name}`);
  // About 50 and 60 without faults.
  for (const { server } of [from, to]) expect(server.requests.entries.length).toBeLessThan(110);
}

const read: readonly RequestClass[] = ['token', 'manifest-head', 'manifest-get', 'tags', 'blob-get', 'storage-get'];
const written: readonly RequestClass[] = ['token', 'manifest-head', 'mount', 'upload-put', 'manifest-put'];
const all = (classes: readonly RequestClass[], fault: FaultAction): readonly FaultRule[] =>
  classes.map((each) => ({ class: each, times: 2, fault }));

describe('answers and connections', () => {
  it.each([500, 502, 503, 504])('%i on every class of requests', async (status) => {
    const fault = { kind: 'status', status, body: '<html>bad gateway</html>' } as const;
    await survives(all(read, fault), all(written, fault));
  });

  it('a reset on every class of requests, before they are looked at', async () => {
    const fault = { kind: 'reset', when: 'request' } as const;
    await survives(all(read, fault), all(written, fault));
  });

  it('a reset in the middle of every kind of body', async () => {
    const sent = { kind: 'reset', when: 'request-body', bytes: 100 } as const;
    await survives(
      all(['token', 'manifest-get', 'tags', 'storage-get'], { kind: 'reset', when: 'answer', bytes: 10 }),
      all(['upload-put', 'manifest-put'], sent),
    );
  });

  it('a reset after everything was done', async () => {
    const fault = { kind: 'reset', when: 'after' } as const;
    await survives(all(read, fault), all(written, fault));
  });
});

describe('reading', () => {
  const faults: [string, FaultAction][] = [
    ['cut off', { kind: 'truncate', bytes: 100 }],
    ['short', { kind: 'truncate', bytes: 100, honest: true }],
    ['corrupted', { kind: 'corrupt' }],
    ['too long', { kind: 'extend', bytes: 50 }],
    ['announced too short', { kind: 'content-length', delta: -50 }],
    ['announced too long', { kind: 'content-length', delta: 50 }],
    ['stalled', { kind: 'stall', milliseconds: 1_500, bytes: 60 }],
  ];

  it.each(faults)('a blob that is %s, small and large, and redirected', async (_name, fault) => {
    const world = await testWorld();
    const [plain, redirecting] = [await world.registry(), await world.registry({ blobRedirect: true })];
    const target = await world.registry({ mounting: false }, { mounting: 'never' });
    const [small, streamed, moved] = [smallImage('small'), await largeImage('streamed'), await largeImage('moved')];
    await plain.server.putImage('small', '1', small);
    await plain.server.putImage('streamed', '1', streamed);
    await redirecting.server.putImage('moved', '1', moved);
    plain.server.fail({ class: 'blob-get', repository: 'small', fault });
    plain.server.fail({ class: 'blob-get', reference: largest(streamed), fault });
    redirecting.server.fail({ class: 'storage-get', reference: largest(moved), fault });
    const requests = [copyOf(plain, target, 'small'), copyOf(plain, target, 'streamed')];
    const { outcomes } = await world.copy([...requests, copyOf(redirecting, target, 'moved')]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect([plain.server.faults.pending, redirecting.server.faults.pending]).toEqual([0, 0]);
    await expectHeld(target, small, 'mirror/small');
    await expectHeld(target, streamed, 'mirror/streamed');
    await expectHeld(target, moved, 'mirror/moved');
    expect([readsOf(plain, largest(streamed)), readsOf(redirecting, largest(moved))]).toEqual([2, 2]);
  });

  it.each(faults)('F3 a large blob that is %s and needed by two repositories', async (_name, fault) => {
    const world = await testWorld();
    const source = await world.registry();
    const target = await world.registry({ mounting: false }, { mounting: 'never' });
    const image = await largeImage('app');
    await source.server.putImage('app', '1', image);
    const request = copyOf(source, target);
    const twice = {
      ...request,
      targets: [...request.targets, ...copyOf(source, target, 'again').targets],
    };
    source.server.fail({ class: 'blob-get', reference: largest(image), fault });
    const { outcomes } = await world.copy([twice]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect(source.server.faults.pending).toBe(0);
    for (const repository of ['mirror/app', 'mirror/again']) await expectHeld(target, image, repository);
    const reads = source.server.requests.count(
      (entry) => entry.class === 'blob-get' && entry.reference === largest(image),
    );
    expect(reads).toBe(2);
  });

  it.each(faults.filter(([name]) => ['cut off', 'announced too long', 'stalled'].includes(name)))(
    'a manifest that is %s',
    async (_name, fault) => {
      const world = await testWorld();
      const [source, target] = [await world.registry(), await world.registry()];
      const image = smallImage('app');
      await source.server.putImage('app', '1', image);
      source.server.fail({ class: 'manifest-get', times: 2, fault });
      const { outcomes } = await world.copy([copyOf(source, target)]);
      expect(failuresOf(outcomes)).toEqual([]);
      await expectHeld(target, image);
      expect(source.server.count('manifest-get')).toBeLessThanOrEqual(5);
    },
  );
});

describe('tokens', () => {
  const spoilt: [string, FaultAction][] = [
    ['short', { kind: 'truncate', bytes: 20, honest: true }],
    ['too long', { kind: 'extend', bytes: 50 }],
    ['announced too short', { kind: 'content-length', delta: -1 }],
  ];
  it.each(spoilt)('of which an answer is %s are asked for again', async (_name, fault) => {
    const world = await testWorld();
    const source = await world.registry({ auth: bearer }, { credentials });
    const target = await world.registry({ auth: bearer }, { credentials });
    const image = smallImage('app');
    await source.server.putImage('app', '1', image);
    for (const { server } of [source, target]) server.fail({ class: 'token', times: 2, fault });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    await expectHeld(target, image);
    for (const { server } of [source, target]) expect(server.faults.pending).toBe(0);
  });
});

describe('manifests', () => {
  /** A byte of an operating system's name: what has it flipped is a manifest still, and kept under the tag. By digest, it is refused. */
  const inPlatform = (image: ImageContent): number => {
    const top = image.manifests.find(({ descriptor }) => descriptor.digest === image.digest);
    return Buffer.from(top?.bytes ?? []).indexOf('linux');
  };

  it.each([
    ['plain', 'corrupt-request'],
    ['plain', 'other-digest'],
    ['ecr', 'corrupt-request'],
  ] as const)(
    'that a registry (%s) did not get as they were sent (%s) are sent again, under a tag and by digest',
    async (manners, kind) => {
      const world = await testWorld();
      const [source, target] = [await world.registry(), await world.registry({ manners, auth: { kind: 'none' } })];
      const image = smallImage('app');
      if (manners === 'ecr') target.server.createRepository('mirror/app');
      const fault: FaultAction = kind === 'other-digest' ? { kind } : { kind, offset: inPlatform(image) };
      await source.server.putImage('app', '1', image);
      const [child] = image.manifests.filter(({ descriptor }) => descriptor.digest !== image.digest);
      for (const reference of ['1', child?.descriptor.digest])
        target.server.fail({ class: 'manifest-put', reference, times: 2, fault });
      const { outcomes } = await world.copy([copyOf(source, target)]);
      expect(failuresOf(outcomes)).toEqual([]);
      expect(target.server.faults.pending).toBe(0);
      await expectHeld(target, image);
      expect(target.server.count('manifest-put')).toBe(image.manifests.length + 4);
    },
  );

  it('that an immutable tag keeps otherwise than they were sent are told as such', async () => {
    const world = await testWorld();
    const [source, target] = [await world.registry(), await world.registry({ manners: 'ecr', auth: { kind: 'none' } })];
    target.server.createRepository('mirror/app', { imageTagMutability: 'IMMUTABLE' });
    const image = smallImage('app');
    await source.server.putImage('app', '1', image);
    const fault = { kind: 'corrupt-request', offset: inPlatform(image) } as const;
    target.server.fail({ class: 'manifest-put', reference: '1', fault });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(target.server.faults.pending).toBe(0);
    expect(failuresOf(outcomes)).toMatchObject([
      { side: 'target', code: 'corrupt', cause: expect.stringContaining(image.digest) as string },
    ]);
  });
});

function readsOf({ server }: Place, digest: Digest): number {
  return server.requests.count((entry) => entry.class === 'blob-get' && entry.reference === digest);
}

describe('what stays broken', () => {
  const cases: [string, side: 'source' | 'target', FaultRule, code: string, said: RegExp][] = [
    ['500 on a blob', 'source', { class: 'blob-get', fault: { kind: 'status', status: 500 } }, 'unavailable', /answered 500/],
    ['a cut-off blob', 'source', { class: 'blob-get', fault: { kind: 'truncate', bytes: 5 } }, 'unreachable', /after 5 bytes/],
    ['a short blob', 'source', { class: 'blob-get', fault: { kind: 'truncate', bytes: 5, honest: true } }, 'corrupt', /5 bytes/],
    ['a long blob', 'source', { class: 'blob-get', fault: { kind: 'extend', bytes: 5 } }, 'corrupt', /expected/],
    ['other bytes of a blob', 'source', { class: 'blob-get', fault: { kind: 'corrupt' } }, 'corrupt', /has the digest/],
    ['a stalled blob', 'source', { class: 'blob-get', fault: { kind: 'stall', milliseconds: 60_000, bytes: 5 } }, 'unreachable', /stalled/],
    ['a reset for each blob', 'source', { class: 'blob-get', fault: { kind: 'reset', when: 'request' } }, 'unreachable', /reset|closed/],
    ['a blob that is gone', 'source', { class: 'blob-get', fault: { kind: 'drop-blob', when: 'before' } }, 'not-found', /answered 404/],
    ['a blob that is not for us', 'source', { class: 'blob-get', fault: { kind: 'status', status: 403 } }, 'denied', /answered 403/],
    ['other bytes of a manifest', 'source', { class: 'manifest-get', fault: { kind: 'corrupt' } }, 'corrupt', /expected sha256/],
    ['502 on a manifest', 'source', { class: 'manifest-get', fault: { kind: 'status', status: 502 } }, 'unavailable', /answered 502/],
    ['504 on uploads', 'target', { class: 'upload-put', fault: { kind: 'status', status: 504 } }, 'unavailable', /answered 504/],
    ['uploads that are changed on their way', 'target', { class: 'upload-put', fault: { kind: 'corrupt-request' } }, 'corrupt', /DIGEST_INVALID/],
    ['403 on uploads', 'target', { class: 'upload-put', fault: { kind: 'status', status: 403 } }, 'denied', /answered 403/],
    ['503 on the start of uploads', 'target', { class: 'upload-start', fault: { kind: 'status', status: 503 } }, 'unavailable', /answered 503/],
    ['500 on a manifest', 'target', { class: 'manifest-put', fault: { kind: 'status', status: 500 } }, 'unavailable', /answered 500/],
    ['manifests that are kept as something else', 'target', { class: 'manifest-put', fault: { kind: 'other-digest' } }, 'corrupt', /expected sha256/],
  ]; // prettier-ignore

  const repositoryOf = (side: 'source' | 'target', position: number): string =>
    `${side === 'source' ? '' : 'mirror/'}broken-${position}`;

  it('fails its image with side, host and reference, and no other', { timeout: 40_000 }, async () => {
    const world = await testWorld();
    const source = await world.registry();
    const target = await world.registry({ mounting: false }, { mounting: 'never' });
    const broken = cases.map((_, position) => `broken-${position}`);
    for (const name of [...broken, 'good']) {
      await source.server.putImage(name, '1', tinyImage(name));
    }
    cases.forEach(([, side, rule], position) => {
      const { server } = side === 'source' ? source : target;
      server.fail({ ...rule, repository: repositoryOf(side, position), times: 'always' });
    });
    const { outcomes } = await world.copy([...broken, 'good'].map((name) => copyOf(source, target, name)));
    expect(kindsOf(outcomes)).toEqual([...broken.map(() => 'failed'), 'copied']);
    cases.forEach(([name, side, rule, code, said], position) => {
      const place = side === 'source' ? source : target;
      const { host } = place.server;
      const failures = failuresOf(outcomes.slice(position, position + 1));
      expect({ name, failures }).toMatchObject({
        name,
        failures: [
          {
            side,
            code,
            host,
            reference: expect.stringContaining(`${host}/${repositoryOf(side, position)}`) as string,
            cause: expect.stringMatching(said) as string,
          },
        ],
      });
      const tries = place.server.requests.count(
        (entry) => entry.class === rule.class && entry.repository === repositoryOf(side, position),
      );
      // Six tries of each of two blobs, and six of each request that may be repeated.
      expect({ name, few: tries <= 2 * 6 * 6 }).toEqual({ name, few: true });
    });
    expect(await target.server.damage()).toEqual([]);
    await expectHeld(target, tinyImage('good'), 'mirror/good');
  });
});

describe('uploads', () => {
  const rules: [string, FaultRule][] = [
    ['that are changed on their way', { class: 'upload-put', times: 3, fault: { kind: 'corrupt-request', offset: 20 } }],
    ['that are said to be kept as something else', { class: 'upload-put', times: 3, fault: { kind: 'other-digest' } }],
    ['whose Location is on another host', { class: 'upload-start', times: 'always', fault: { kind: 'location', form: 'other-host' } }],
    ['whose token expires while they are sent', { class: 'upload-put', fault: { kind: 'expire-tokens' } }],
    ['that are refused (401) once', { class: 'upload-put', fault: { kind: 'status', status: 401 } }],
    ['of whose manifests the token has expired', { class: 'manifest-put', fault: { kind: 'expire-tokens' } }],
    ['whose session is lost', { class: 'upload-put', times: 3, fault: { kind: 'status', status: 404, body: '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}' } }],
  ]; // prettier-ignore

  it.each(rules)('%s arrive, small and large', async (_name, rule) => {
    const world = await testWorld();
    const source = await world.registry();
    const target = await world.registry({ auth: bearer, mounting: false }, { credentials, mounting: 'never' });
    const images = new Map([['small', smallImage('small')]]);
    if (!_name.includes('token')) images.set('large', await largeImage('large'));
    for (const [name, image] of images) {
      await source.server.putImage(name, '1', image);
      target.server.fail({ ...rule, repository: `mirror/${name}` });
    }
    const { outcomes } = await world.copy([...images.keys()].map((name) => copyOf(source, target, name)));
    expect(failuresOf(outcomes)).toEqual([]);
    for (const [name, image] of images) await expectHeld(target, image, `mirror/${name}`);
    expect(target.server.faults.pending).toBe(0);
    expect(target.server.count('upload-put')).toBeLessThanOrEqual(10 + 2 * 3);
    expect(target.server.count('token')).toBeLessThanOrEqual(2 + 2 * 3);
  });
});

describe('surroundings', () => {
  it('a name that DNS does not know fails its images together, and no others', async () => {
    // A name server may take its time to say so.
    const world = await testWorld({ timeouts: { connectMs: 15_000 } });
    const [source, target] = [await world.registry(), await world.registry()];
    const many = await manyImages(source, target, 5);
    const store = registryStore(world.transport, 'registry.invalid', { credentials: noCredentials });
    const lost = Array.from({ length: 20 }, (_, n) => ({
      ...copyOf(source, target, `lost-${n}`),
      source: { store, repository: `lost-${n}`, reference: '1' },
    }));
    const { outcomes } = await world.copy([...lost, ...many.map(({ request }) => request)]);
    expect(kindsOf(outcomes)).toEqual([...lost.map(() => 'failed'), ...many.map(() => 'copied')]);
    failuresOf(outcomes).forEach((failure, n) => {
      expect(failure).toMatchObject({
        side: 'source',
        code: 'unreachable',
        host: 'registry.invalid',
        reference: `registry.invalid/lost-${n}:1`,
        cause: expect.stringContaining('DNS') as string,
        remedy: expect.stringContaining('check the spelling of registry.invalid') as string,
      });
    });
    for (const { image, request } of many) await expectHeld(target, image, `mirror/${request.source.repository}`);
    expect(target.server.repositories()).toHaveLength(5);
  });

  it.runIf(process.platform === 'linux')('a disk that is full costs reads, and nothing else', async () => {
    const world = await testWorld();
    const source = await world.registry();
    const target = await world.registry({ mounting: false }, { mounting: 'never' });
    const images = { large: await largeImage('large'), other: await largeImage('other') };
    for (const [name, image] of Object.entries(images)) await source.server.putImage(name, '1', image);
    // Every write to this device fails with ENOSPC: man 4 full.
    await mkdir(world.spoolDirectory);
    await symlink('/dev/full', join(world.spoolDirectory, `sha256-${digestHex(largest(images.large))}`));
    const { targets, ...large } = copyOf(source, target, 'large');
    const twice = { ...large, targets: [...targets, ...copyOf(source, target, 'again').targets] };
    const { outcomes } = await world.copy([twice, copyOf(source, target, 'other')]);
    expect(failuresOf(outcomes)).toEqual([]);
    await expectHeld(target, images.other, 'mirror/other');
    for (const name of ['mirror/large', 'mirror/again']) await expectHeld(target, images.large, name);
    const reasons = world.events.flatMap((event) => (event.type === 'retry' ? [event.reason] : []));
    expect(reasons.some((reason) => reason.includes('cannot keep a blob on disk: ENOSPC'))).toBe(true);
  });
});
