import { describe, expect, it, onTestFinished } from 'vitest';
import type { CredentialSource } from '../model/credentials.ts';
import type { WriteStore } from '../model/store.ts';
import type { RunEvent } from '../report/events.ts';
import { buildImage, type ImageContent, withCosignTag } from '../testing/image-builder.ts';
import type { LoggedRequest, RequestClass } from '../testing/request-log.ts';
import type { CopyRequest } from './request.ts';
import { copyOf, expectHeld, failuresOf, fastClock, kindsOf, manyImages, ownLayers, patient, type Place, testWorld, type TestWorld } from '../../test/copy-world.ts'; // prettier-ignore

/**
 * Rate limits: 429 (and 503 with Retry-After) on every class of requests, and storms of them. Time runs twenty times as
 * fast here, so that the pauses are those of production: Retry-After of one second is 50 ms.
 */
const login = { username: 'robot', password: 'only-for-this-test' };
const credentials: CredentialSource = { credentialFor: () => Promise.resolve({ kind: 'basic', ...login }) };
const speedUp = 20;

interface Scene {
  readonly world: TestWorld;
  readonly source: Place;
  readonly target: Place;
  readonly images: ReadonlyMap<string, ImageContent>;
  readonly requests: readonly CopyRequest[];
}

/** Two images with a base in common and signatures, from a registry with tokens and redirects to one with tokens and mounts. */
async function scene(mounting: WriteStore['mounting'] = 'after-upload'): Promise<Scene> {
  const world = await testWorld({ ...patient, requestsPerHost: 1, transfersPerHost: 1 });
  const auth = { kind: 'bearer', ...login } as const;
  const source = await world.registry({ auth, blobRedirect: true }, { credentials });
  const target = await world.registry({ auth }, { credentials, mounting });
  const images = new Map(['one', 'two'].map((name) => [name, withCosignTag(buildImage({ name }))]));
  for (const [name, image] of images) {
    await source.server.putImage(name, '1', image);
    // Where the target has an older image, the source is asked by HEAD.
    await target.server.putImage(`mirror/${name}`, '1', buildImage({ name: `older ${name}` }));
  }
  return { world, source, target, images, requests: [...images.keys()].map((name) => copyOf(source, target, name)) };
}

async function copied({ world, target, images, requests }: Scene): Promise<void> {
  const { outcomes } = await world.copy(requests);
  expect(failuresOf(outcomes)).toEqual([]);
  for (const [name, image] of images) await expectHeld(target, image, `mirror/${name}`);
}

const allRequests = ({ source, target }: Scene): number =>
  source.server.requests.entries.length + target.server.requests.entries.length;

/** How many requests the same copy takes when nothing is refused; found out once. */
const counted = new Map<WriteStore['mounting'], number>();
async function undisturbed(mounting: WriteStore['mounting']): Promise<number> {
  const known = counted.get(mounting);
  if (known !== undefined) return known;
  const plain = await scene(mounting);
  await copied(plain);
  counted.set(mounting, allRequests(plain));
  return allRequests(plain);
}

/** Requests that the transport counts as one kind: they pause together. */
const alike: readonly (readonly RequestClass[])[] = [
  ['manifest-head', 'blob-head'],
  ['manifest-get', 'tags', 'referrers'],
  ['upload-start', 'mount'],
];
const sameKind = (a: RequestClass, b: RequestClass): boolean =>
  a === b || alike.some((group) => group.includes(a) && group.includes(b));

const classes: [side: 'source' | 'target', RequestClass][] = [
  ['source', 'manifest-head'],
  ['source', 'manifest-get'],
  ['source', 'tags'],
  ['source', 'blob-get'],
  ['source', 'storage-get'],
  ['source', 'token'],
  ['target', 'token'],
  ['target', 'manifest-head'],
  ['target', 'upload-start'],
  ['target', 'mount'],
  ['target', 'upload-put'],
  ['target', 'manifest-put'],
];
const refusals: [string, { status: number; headers?: Record<string, string> }][] = [
  ['429 without Retry-After', { status: 429 }],
  ['429 with Retry-After', { status: 429, headers: { 'Retry-After': '1' } }],
];

describe.each(refusals)('%s', (_name, answer) => {
  it.each(classes)('on requests of the %s, %s: paused for, repeated, and all arrives', async (side, requestClass) => {
    const mounting = requestClass === 'upload-start' ? 'never' : 'after-upload';
    const expected = await undisturbed(mounting);
    const limited = await scene(mounting);
    const { server } = limited[side];
    server.fail({ class: requestClass, skip: 1, times: 2, fault: { kind: 'status', ...answer } });
    await copied(limited);
    expect(server.faults.pending).toBe(0);
    // One more request for each refusal. A refused upload is read and started anew, with a redirect and perhaps a HEAD.
    const cost = requestClass === 'upload-put' ? 5 : 1;
    expect(allRequests(limited)).toBeLessThanOrEqual(expected + 2 * cost);
    const kind = server.requests.of((entry) => sameKind(entry.class, requestClass));
    expect(pausesAfterRefusals(kind)).toHaveLength(2);
    const least = answer.headers === undefined ? 0 : 1_000 / speedUp;
    // The clock of the log has whole milliseconds.
    for (const pause of pausesAfterRefusals(kind)) expect(pause).toBeGreaterThanOrEqual(least - 2);
  });
});

it('503 with Retry-After is a rate limit too', async () => {
  const busy = await scene();
  const fault = { kind: 'status', status: 503, headers: { 'Retry-After': '1' } } as const;
  for (const { server } of [busy.source, busy.target]) server.fail({ skip: 4, times: 6, fault });
  await copied(busy);
  const reasons = busy.world.events.flatMap((event) => (event.type === 'retry' ? [event.reason] : []));
  expect(reasons.filter((reason) => reason === 'rate limit (503)').length).toBeGreaterThanOrEqual(8);
});

/** Milliseconds between each refused request and the next of its kind. One at a time is under way in these tests. */
function pausesAfterRefusals(entries: readonly LoggedRequest[]): readonly number[] {
  return entries.flatMap((entry, position) => {
    const next = entries[position + 1];
    return entry.fault === undefined || next === undefined ? [] : [next.at - entry.at];
  });
}

const refused = (place: Place, requestClass?: RequestClass): number =>
  place.server.requests.count(
    (entry) => entry.status === 429 && (requestClass === undefined || entry.class === requestClass),
  );
const rateLimitPauses = (events: readonly RunEvent[], host: string): number =>
  events.filter((event) => event.type === 'retry' && event.host === host && event.reason.includes('rate limit')).length;

describe('a storm', () => {
  const limits = { perSecond: 10 * speedUp, burst: 10 };
  const limited = { 'manifest-head': limits, 'manifest-get': limits, 'blob-get': limits, tags: limits, token: limits };

  it('of limits on every class at both sides costs few requests, and everything arrives', async () => {
    const world = await testWorld(patient);
    const auth = { kind: 'bearer', ...login } as const;
    const source = await world.registry({ auth, rates: limited }, { credentials });
    const uploads = { 'upload-start': limits, mount: limits, 'upload-put': limits, 'manifest-put': limits };
    const target = await world.registry({ auth, rates: { ...limited, ...uploads } }, { credentials });
    const many = await manyImages(source, target, 40);
    const { outcomes } = await world.copy(many.map(({ request }) => request));
    expect(failuresOf(outcomes)).toEqual([]);
    for (const { image, request } of many) await expectHeld(target, image, `mirror/${request.source.repository}`);
    for (const place of [source, target]) {
      expect(refused(place)).toBeLessThan(place.server.requests.entries.length / 5);
    }
    // Each of its 120 manifests was taken once, whatever was refused before.
    const taken = target.server.requests.count((entry) => entry.class === 'manifest-put' && entry.status === 201);
    expect(taken).toBe(40 * 3);
  });

  it.each(['source', 'target'] as const)(
    'of nothing but refusals at the %s is waited out with one probe at a time',
    async (side) => {
      const world = await testWorld(patient);
      const places = { source: await world.registry(), target: await world.registry() };
      const many = await manyImages(places.source, places.target, 40);
      const stormy = places[side];
      const begin = side === 'source' ? 'blob-get' : 'upload-put';
      let begun = false;
      const storm = (): void => {
        begun = true;
        stormy.server.fail({ times: 'always', fault: { kind: 'status', status: 429 } });
      };
      const passing = setInterval(() => {
        if (rateLimitPauses(world.events, stormy.server.host) >= 6) stormy.server.faults.clear();
      }, 5);
      onTestFinished(() => clearInterval(passing));
      stormy.server.fail({ class: begin, skip: 10, fault: { kind: 'call', run: storm } });
      const { outcomes } = await world.copy(many.map(({ request }) => request));
      expect([begun, failuresOf(outcomes)]).toEqual([true, []]);
      for (const { image, request } of many)
        await expectHeld(places.target, image, `mirror/${request.source.repository}`);
      // What was under way when it began (32 small requests a class, 16 transfers), then one for each pause.
      const pauses = rateLimitPauses(world.events, stormy.server.host);
      expect(refused(stormy)).toBeGreaterThan(0);
      expect(refused(stormy)).toBeLessThanOrEqual(3 * 32 + pauses);
      expect(pauses).toBeLessThan(60);
    },
  );

  it('at one host holds up no other', async () => {
    const world = await testWorld(patient);
    const [limited, free] = [await world.registry(), await world.registry()];
    const target = await world.registry({ mounting: false }, { mounting: 'never' });
    // Without a base in common: that would be read for all of them from one of the two.
    const slow = await manyImages(limited, target, 4, 'slow', ownLayers);
    const quick = await manyImages(free, target, 20, 'quick', ownLayers);
    // A minute is three seconds here: more than the others need on a busy machine.
    limited.server.fail({
      class: 'blob-get',
      fault: { kind: 'status', status: 429, headers: { 'Retry-After': '60' } },
    });
    const { outcomes } = await world.copy(
      [...slow, ...quick].map(({ request }) => request),
      { transfersPerHost: 1 },
    );
    expect(failuresOf(outcomes)).toEqual([]);
    const order = world.events.flatMap((event) => (event.type === 'artifact-finished' ? [event.outcome.artifact] : []));
    expect(order.slice(0, 20).filter((name) => name.startsWith('slow'))).toEqual([]);
    for (const { image, request } of [...slow, ...quick])
      await expectHeld(target, image, `mirror/${request.source.repository}`);
  });
});

describe('a limit that never ends', () => {
  it.each([
    ['source', 'manifest-get'],
    ['target', 'manifest-put'],
  ] as const)('at the %s (%s) fails what it hits, says what to do, and is not hammered', async (side, requestClass) => {
    const world = await testWorld({ ...patient, clock: fastClock(400) });
    const places = { source: await world.registry(), target: await world.registry() };
    const [freeSource, freeTarget] = [await world.registry(), await world.registry()];
    const many = await manyImages(places.source, places.target, 6);
    const others = await manyImages(freeSource, freeTarget, 6, 'other');
    const { server } = places[side];
    server.fail({ class: requestClass, times: 'always', fault: { kind: 'status', status: 429 } });
    const { outcomes } = await world.copy([...many, ...others].map(({ request }) => request));
    expect(kindsOf(outcomes)).toEqual([...many.map(() => 'failed'), ...others.map(() => 'copied')]);
    for (const failure of failuresOf(outcomes)) {
      expect(failure).toMatchObject({ side, code: 'throttled', host: server.host });
      expect(failure.reference).toMatch(new RegExp(`^${server.host}/(?:mirror/)?app-\\d`));
      expect(failure.cause).toContain('429');
      expect(failure.remedy).toMatch(/wait some minutes and run again/);
    }
    // Five minutes of patience, shared by all: one probe for each pause and not one for each request.
    expect(refused(places[side])).toBeLessThanOrEqual(32 + rateLimitPauses(world.events, server.host));
    expect(rateLimitPauses(world.events, server.host)).toBeLessThan(60);
    expect(await places.target.server.damage()).toEqual([]);
    for (const { image, request } of others) await expectHeld(freeTarget, image, `mirror/${request.source.repository}`);
  });
});
