import { describe, expect, it } from 'vitest';
import type { CredentialSource } from '../model/credentials.ts';
import { noCredentials } from '../model/credentials.ts';
import type { Digest } from '../model/digest.ts';
import type { ImageContent } from '../testing/image-builder.ts';
import { syntheticLayer } from '../testing/image-layers.ts';
import { rangedBlobBytes } from './ranged-read.ts';
import type { FaultAction, FaultRule } from '../testing/faults.ts';
import { copyOf, expectHeld, failuresOf, kindsOf, largeImage, manyImages, oneLayerImage, ownLayers, patient, smallImage, testWorld, tinyImage } from '../../test/copy-world.ts'; // prettier-ignore

// What comes right by itself, after faults that other programs end with.

const login = { username: 'robot', password: 'only-for-this-test' };
const credentials: CredentialSource = {
  credentialFor: () => Promise.resolve({ kind: 'basic', ...login }),
};
const bearer = { kind: 'bearer', ...login } as const;
const largest = (image: ImageContent): Digest =>
  [...image.blobs].flatMap(([digest, content]) => ('seed' in content ? [digest] : []))[0] ?? image.digest;

const faults: [string, FaultAction][] = [
  ['cut off', { kind: 'truncate', bytes: 100 }],
  ['cut off near its end', { kind: 'truncate', bytes: 1_400_000 }],
  ['short', { kind: 'truncate', bytes: 100, honest: true }],
  ['corrupted', { kind: 'corrupt' }],
  ['too long', { kind: 'extend', bytes: 50 }],
  ['announced too short', { kind: 'content-length', delta: -50 }],
  ['announced too long', { kind: 'content-length', delta: 50 }],
  ['stalled', { kind: 'stall', milliseconds: 1_500, bytes: 60 }],
];

it.each<[string, FaultAction]>([
  ['expires (401)', { kind: 'expire-tokens' }],
  ['is refused (401)', { kind: 'status', status: 401 }],
])('a large upload whose token %s while it is sent arrives', async (_name, fault) => {
  const world = await testWorld();
  const source = await world.registry();
  const target = await world.registry({ auth: bearer, mounting: false }, { credentials, mounting: 'never' });
  const image = await largeImage('large');
  await source.server.putImage('app', '1', image);
  target.server.fail({ class: 'upload-put', path: largest(image), fault });
  const { outcomes } = await world.copy([copyOf(source, target)]);
  expect(target.server.faults.pending).toBe(0);
  expect(failuresOf(outcomes)).toEqual([]);
  await expectHeld(target, image);
});

// the same with ECR's 403 for an expired token.
it('a large upload to ECR whose token expires (403) while it is sent arrives', async () => {
  const world = await testWorld();
  const source = await world.registry();
  const tokens = { current: 'first' };
  const fresh: CredentialSource = {
    credentialFor: (_host, state) => {
      if (state?.rejected === true) tokens.current = 'second';
      return Promise.resolve({
        kind: 'basic',
        username: 'AWS',
        password: tokens.current,
      });
    },
  };
  const target = await world.registry(
    { mounting: false },
    { credentials: fresh, authenticateFirst: true, mounting: 'never' },
  );
  const image = await largeImage('large');
  await source.server.putImage('app', '1', image);
  const body =
    '{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}';
  target.server.fail({
    class: 'upload-put',
    path: largest(image),
    fault: { kind: 'status', status: 403, body },
  });
  const { outcomes } = await world.copy([copyOf(source, target)]);
  expect(target.server.faults.pending).toBe(0);
  expect(failuresOf(outcomes)).toEqual([]);
  expect(tokens.current).toBe('second');
  await expectHeld(target, image);
});

it.each(faults.filter(([name]) => /short|corrupted|too long/.test(name)))(
  'a manifest that is %s once is read again',
  async (_name, fault) => {
    const world = await testWorld();
    const [source, target] = [await world.registry(), await world.registry()];
    const image = smallImage('app');
    await source.server.putImage('app', '1', image);
    source.server.fail({ class: 'manifest-get', times: 1, fault });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    await expectHeld(target, image);
  },
);

it('a limit at one source holds up no other where the target mounts', async () => {
  const world = await testWorld();
  const [limited, free] = [await world.registry(), await world.registry()];
  const target = await world.registry();
  const slow = await manyImages(limited, target, 4, 'slow', ownLayers);
  const quick = await manyImages(free, target, 20, 'quick', ownLayers);
  limited.server.fail({
    class: 'blob-get',
    times: 'always',
    fault: { kind: 'status', status: 429, headers: { 'Retry-After': '60' } },
  });
  // The limited ones wait until the others are done, however long that takes here.
  const stop = new AbortController();
  const finished = (): readonly string[] =>
    world.events.flatMap((event) => (event.type === 'artifact-finished' ? [event.outcome.artifact] : []));
  const enough = setInterval(() => {
    if (finished().length >= quick.length) stop.abort();
  }, 20);
  const { outcomes } = await world.copy(
    [...slow, ...quick].map(({ request }) => request),
    { transfersPerHost: 1, signal: stop.signal },
  );
  clearInterval(enough);
  expect(kindsOf(outcomes.slice(slow.length))).toEqual(quick.map(() => 'copied'));
  expect(failuresOf(outcomes).map(({ code }) => code)).toEqual(slow.map(() => 'cancelled'));
});

describe('an immutable tag', () => {
  it.each<[string, 'ours' | 'reset']>([
    ['that another run has just written with the same content is no conflict', 'ours'],
    ['that we wrote ourselves, the answer was lost, is no conflict', 'reset'],
  ])('%s', async (_name, how) => {
    const world = await testWorld();
    const source = await world.registry();
    const target = await world.registry(
      { manners: 'ecr', auth: { kind: 'none' } },
      { credentials: noCredentials, mounting: 'never' },
    );
    target.server.createRepository('mirror/app', {
      imageTagMutability: 'IMMUTABLE',
    });
    const image = smallImage('app');
    await source.server.putImage('app', '1', image);
    const run = (): Promise<void> => target.server.putImage('mirror/app', '1', image);
    const fault: FaultAction = how === 'ours' ? { kind: 'call', run } : { kind: 'reset', when: 'after' };
    target.server.fail({ class: 'manifest-put', reference: '1', fault });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    await expectHeld(target, image);
  });
});

it('a failure at the target names the tag', async () => {
  const world = await testWorld();
  const [source, target] = [await world.registry(), await world.registry({ mounting: false }, { mounting: 'never' })];
  for (const name of ['a', 'b']) await source.server.putImage(name, '1', tinyImage(name));
  const fault = { kind: 'status', status: 403 } as const;
  target.server.fail({
    class: 'manifest-put',
    repository: 'mirror/a',
    times: 'always',
    fault,
  });
  target.server.fail({
    class: 'upload-put',
    repository: 'mirror/b',
    times: 'always',
    fault,
  });
  const { outcomes } = await world.copy(['a', 'b'].map((name) => copyOf(source, target, name)));
  expect(failuresOf(outcomes).map(({ reference }) => reference)).toEqual(
    ['a', 'b'].map((name) => `${target.server.host}/mirror/${name}:1`),
  );
});

it.each<[string, 'source' | 'target', FaultRule]>([
  ['a short blob', 'source', { class: 'blob-get', fault: { kind: 'truncate', bytes: 5, honest: true } }],
  ['a long blob', 'source', { class: 'blob-get', fault: { kind: 'extend', bytes: 5 } }],
  ['a reset for each blob', 'source', { class: 'blob-get', fault: { kind: 'reset', when: 'request' } }],
  ['a reset for each manifest', 'source', { class: 'manifest-get', fault: { kind: 'reset', when: 'request' } }],
  ['blobs that vanish', 'target', { class: 'upload-put', fault: { kind: 'drop-blob', when: 'after' } }],
])('%s: there is a remedy', async (_name, side, rule) => {
  const world = await testWorld();
  const places = {
    source: await world.registry(),
    target: await world.registry({ mounting: false }, { mounting: 'never' }),
  };
  await places.source.server.putImage('app', '1', tinyImage('app'));
  places[side].server.fail({ ...rule, times: 'always' });
  const { outcomes } = await world.copy([copyOf(places.source, places.target)]);
  expect(failuresOf(outcomes)).toMatchObject([{ side, remedy: expect.stringMatching(/\w/) as string }]);
});

it('100 tags on one digest: children are read once', async () => {
  const world = await testWorld(patient);
  const [source, target] = [await world.registry(), await world.registry()];
  const tags = Array.from({ length: 100 }, (_, n) => `v${n}`);
  for (const tag of tags) await source.server.putImage('app', tag, smallImage('app'));
  const { outcomes } = await world.copy(tags.map((tag) => copyOf(source, target, 'app', tag)));
  expect(failuresOf(outcomes)).toEqual([]);
  const asked = source.server.count('manifest-get') + source.server.count('manifest-head');
  expect(asked).toBeLessThanOrEqual(100 + 3);
});

it(
  'a source that goes silent while its blobs are read fails its images soon, together',
  { timeout: 120_000 },
  async () => {
    const world = await testWorld(patient);
    // Only the dead host's time is short: where this machine stands still, those that live must not be given up.
    const soon = { idleMs: 1_000, headersMs: 1_000, connectMs: 1_000, answerMs: 1_000 };
    const impatient = await testWorld({ timeouts: soon });
    const [dead, alive] = [await impatient.registry(), await world.registry()];
    const target = await world.registry({ mounting: false }, { mounting: 'never' });
    const lost = await manyImages(dead, target, 30, 'lost', ownLayers);
    const kept = await manyImages(alive, target, 30, 'kept', ownLayers);
    let before = 0;
    const run = (): void => {
      before = dead.server.requests.entries.length;
      dead.server.fail({ times: 'always', fault: { kind: 'stall', milliseconds: 600_000 } });
    };
    dead.server.fail({
      class: 'blob-get',
      skip: 10,
      fault: { kind: 'call', run },
    });
    const { outcomes } = await world.copy([...lost, ...kept].map(({ request }) => request));
    expect(kindsOf(outcomes.slice(30))).toEqual(kept.map(() => 'copied'));
    // Six tries of one request, and then no more for anybody.
    expect(dead.server.requests.entries.length - before).toBeLessThanOrEqual(30 * 4 * 2);
  },
);

it.each<[string, FaultAction, number]>([
  ['a later part with the whole', { kind: 'ignore-range' }, 2],
  ['the first part with 416', { kind: 'status', status: 416 }, 0],
])('a source that answers %s is read whole', { timeout: 60_000 }, async (_name, fault, skip) => {
  const layer = await syntheticLayer('in parts', rangedBlobBytes + 3_000_000);
  const image = oneLayerImage('large', layer);
  const { digest } = layer.descriptor;
  const world = await testWorld({ timeouts: { idleMs: 1_000 } });
  const source = await world.registry();
  const target = await world.registry({ mounting: false, storage: 'discard' }, { mounting: 'never' });
  await source.server.putImage('app', '1', image);
  source.server.fail({ class: 'blob-get', reference: digest, skip, fault });
  const { outcomes } = await world.copy([copyOf(source, target)]);
  expect(failuresOf(outcomes)).toEqual([]);
  expect(target.server.hasBlob('mirror/app', digest)).toBe(true);
  const gets = source.server.requests.of((entry) => entry.reference === digest && entry.class === 'blob-get');
  // The fault takes the header off the request that it answers.
  expect(gets.filter(({ headers }) => headers.range === undefined)).toHaveLength(fault.kind === 'ignore-range' ? 2 : 1);
});
