import { describe, expect, it } from 'vitest';
import type { Digest } from '../model/digest.ts';
import type { TransportOptions } from '../registry/transport.ts';
import { expectHeld, failuresOf, kindsOf, manyImages, ownLayers, patient, type Place, testWorld, type TestWorld } from '../../test/copy-world.ts'; // prettier-ignore

/** A host that is gone, or never was there: its images fail together and soon, the others are copied. */
const soon = { idleMs: 1_000, headersMs: 1_000, connectMs: 1_000, answerMs: 1_000 };

interface Scene {
  readonly world: TestWorld;
  readonly dead: Place;
  readonly target: Place;
  readonly lost: Awaited<ReturnType<typeof manyImages>>;
  readonly kept: Awaited<ReturnType<typeof manyImages>>;
}

/** So many images at a source that will die and at one that lives, for one target. */
async function scene(count: number, timeouts?: TransportOptions['timeouts']): Promise<Scene> {
  const world = await testWorld(patient);
  // Only the dead host's time is short: where this machine stands still, those that live must not be given up.
  const impatient = timeouts === undefined ? world : await testWorld({ timeouts });
  const [dead, alive] = [await impatient.registry(), await world.registry()];
  const target = await world.registry({ mounting: false }, { mounting: 'never' });
  const lost = await manyImages(dead, target, count, 'lost', ownLayers);
  return { world, dead, target, lost, kept: await manyImages(alive, target, count, 'kept', ownLayers) };
}

interface Ended {
  readonly retries: number;
  readonly failures: ReturnType<typeof failuresOf>;
}

async function copied({ world, dead, target, lost, kept }: Scene): Promise<Ended> {
  const { outcomes } = await world.copy([...lost, ...kept].map(({ request }) => request));
  expect(kindsOf(outcomes.slice(lost.length))).toEqual(kept.map(() => 'copied'));
  for (const { image, request } of kept) await expectHeld(target, image, `mirror/${request.source.repository}`);
  const { host } = dead.server;
  const retries = world.events.filter((event) => event.type === 'retry' && event.host === host).length;
  return { retries, failures: failuresOf(outcomes) };
}

describe('a source', { timeout: 60_000 }, () => {
  it('that does not listen', async () => {
    const all = await scene(30);
    await all.dead.server.close();
    const { retries, failures } = await copied(all);
    expect(failures).toHaveLength(30);
    for (const failure of failures) {
      expect(failure).toMatchObject({ side: 'source', code: 'unreachable', host: all.dead.server.host });
      expect(failure.reference).toMatch(new RegExp(`^${all.dead.server.host}/lost-\\d+:1$`));
      expect(failure.cause).toContain('the connection was refused');
      expect(failure.remedy).toContain(`check that ${all.dead.server.host} can be reached from here`);
    }
    expect(retries).toBeLessThanOrEqual(30 * 2 * 6);
  });

  it('that takes connections and never answers', async () => {
    const all = await scene(8, soon);
    all.dead.server.fail({ times: 'always', fault: { kind: 'stall', milliseconds: 600_000 } });
    const { failures } = await copied(all);
    expect(failures).toHaveLength(8);
    for (const failure of failures) {
      expect(failure).toMatchObject({ side: 'source', code: 'unreachable', host: all.dead.server.host });
      expect(failure.cause).toContain('no answer came in time');
    }
    expect(all.dead.server.requests.entries.length).toBeLessThanOrEqual(8 * 15);
  });

  it('that stops listening while its blobs are read', async () => {
    const all = await scene(30);
    const run = (): void => void setImmediate(() => void all.dead.server.close());
    all.dead.server.fail({ class: 'blob-get', skip: 10, fault: { kind: 'call', run } });
    const { retries, failures } = await copied(all);
    expect(failures.length).toBeGreaterThan(20);
    for (const failure of failures)
      expect(failure).toMatchObject({ side: 'source', code: 'unreachable', host: all.dead.server.host });
    expect(retries).toBeLessThanOrEqual(30 * 2 * 6);
  });
});

describe('a target', { timeout: 60_000 }, () => {
  it('that dies fails its images together, and the other target gets all of them', async () => {
    const world = await testWorld(patient);
    const source = await world.registry();
    const [dead, alive] = [await world.registry(), await world.registry()];
    const many = await manyImages(source, alive, 20, 'app', ownLayers);
    const requests = many.flatMap(({ request }) => [
      request,
      { ...request, targets: request.targets.map((place) => ({ ...place, store: dead.store })) },
    ]);
    dead.server.fail({
      class: 'upload-put',
      skip: 10,
      fault: { kind: 'call', run: () => void setImmediate(() => void dead.server.close()) },
    });
    const { outcomes } = await world.copy(requests);
    const arrived = outcomes.filter(({ kind }) => kind === 'copied').flatMap(({ targets }) => targets);
    expect(arrived.filter((name) => name.startsWith(alive.server.host))).toHaveLength(20);
    for (const { image, request } of many) await expectHeld(alive, image, `mirror/${request.source.repository}`);
    expect(failuresOf(outcomes).length).toBeGreaterThan(10);
    for (const failure of failuresOf(outcomes))
      expect(failure).toMatchObject({ side: 'target', code: 'unreachable', host: dead.server.host });
    expect(await dead.server.damage()).toEqual([]);
    const reads = source.server.requests.of('blob-get').map(({ reference }) => reference as Digest);
    expect(reads.length).toBe(new Set(reads).size);
    const retries = world.events.filter((event) => event.type === 'retry' && event.host === dead.server.host).length;
    // Four blobs each.
    expect(retries).toBeLessThanOrEqual(20 * 4 * 6);
  });
});
