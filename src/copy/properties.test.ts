import { setMaxListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as Timers from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { CopyResult } from '../model/result.ts';
import { newProgressCounters, silentReporter } from '../report/events.ts';
import { copyArtifacts } from './copy.ts';
import { anyWorld, artifactFlaws, requestsOf, type World, worldOf } from './test-support/random-world.ts';
import type { Fault, FaultKind, Observed, Operation, UnrulyHost } from './test-support/unruly-host.ts';

// Random graphs from random sources to random targets, in random schedules, with and without faults: what must always hold.

// The copier waits between tries; here a second is a millisecond.
vi.mock('node:timers/promises', async (original) => {
  const real = await original<typeof Timers>();
  const setTimeout: typeof real.setTimeout = (ms, value, options) => real.setTimeout((ms ?? 0) / 1000, value, options);
  return { ...real, setTimeout };
});

const seed = 20260105;
let folder = '';
let runs = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'copy-properties-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const codes = ['unavailable', 'unreachable', 'throttled', 'denied', 'defect'] as const;
const tornReads = ['truncated', 'corrupted', 'too-long', 'torn'] as const;
const moving = ['openBlob', 'startUpload', 'finishUpload', 'writeManifest'] as const;

/** Faults of some operations; `skip` lets most runs get somewhere before they are hit. */
function faultsOf(
  side: 'source' | 'target',
  names: readonly Operation[],
  kinds: readonly FaultKind[],
): fc.Arbitrary<SidedFault> {
  return fc.record({
    side: fc.constant(side),
    operation: fc.constantFrom(...names),
    skip: fc.nat({ max: 4 }),
    times: fc.constantFrom(1, 1, 2, 30),
    kind: fc.constantFrom(...kinds),
  });
}
interface SidedFault extends Fault {
  readonly side: 'source' | 'target';
}

const anyFault = fc.oneof(
  { arbitrary: faultsOf('source', ['resolve', 'readManifest', 'listReferrers', 'listTags'], codes), weight: 2 },
  { arbitrary: faultsOf('source', ['openBlob'], [...codes, ...tornReads]), weight: 3 },
  { arbitrary: faultsOf('target', ['resolve', 'ensureRepository', 'missingBlobs'], codes), weight: 2 },
  { arbitrary: faultsOf('target', ['startUpload', 'writeManifest'], [...codes, 'unanswered']), weight: 4 },
  { arbitrary: faultsOf('target', ['finishUpload'], [...codes, 'unanswered', 'lost', 'lost']), weight: 4 },
);
const anyStop = fc.record({ how: fc.constantFrom('admission', 'signal'), afterCalls: fc.nat({ max: 120 }) });

const anyTrouble = fc.record({
  faults: fc.array(anyFault, { minLength: 1, maxLength: 4 }),
  stop: mostly(undefined, anyStop),
  /** With little room blobs are read again, or streamed. */
  spoolBytes: mostly(undefined, fc.constantFrom(0, 1_200_000)),
  /** Who does not wait for slow sources knows less when copying begins. In milliseconds of the copier's own time. */
  lookupPatienceMs: mostly(undefined, fc.constantFrom(0, 2_000)),
});

function mostly<T, U>(usual: U, other: fc.Arbitrary<T>): fc.Arbitrary<T | U> {
  return fc.oneof({ arbitrary: fc.constant(usual), weight: 3 }, { arbitrary: other, weight: 1 });
}
type Trouble = typeof anyTrouble extends fc.Arbitrary<infer T> ? T : never;

interface Ran {
  readonly result: CopyResult;
  readonly sources: readonly Observed[];
  readonly targets: readonly Observed[];
}

async function run(world: World, part: 'all' | 'before' = 'all', trouble?: Trouble): Promise<Ran> {
  const soft = new AbortController();
  const hard = new AbortController();
  // Every call in flight listens; that is no leak.
  setMaxListeners(0, soft.signal, hard.signal);
  let calls = 0;
  const onCall = (): void => {
    calls += 1;
    if (trouble?.stop === undefined || calls <= trouble.stop.afterCalls) return;
    soft.abort(new Error('told to stop'));
    if (trouble.stop.how === 'signal') hard.abort(new Error('told to stop'));
  };
  const faultsAt = (side: 'source' | 'target'): readonly Fault[] =>
    (trouble?.faults ?? []).filter((each) => each.side === side);
  const observe =
    (side: 'source' | 'target') =>
    (host: UnrulyHost, index: number): Observed =>
      host.observe({ seed: world.spec.seed + index, faults: faultsAt(side), onCall });
  const sources = world.sources.map(observe('source'));
  const targets = world.targets.map(observe('target'));
  const requests = requestsOf(
    world,
    sources.map(({ store }) => store),
    targets.map(({ store }) => store),
  );
  const result = await endingSoon(
    copyArtifacts(part === 'all' ? requests : requests.slice(0, world.spec.before), {
      reporter: silentReporter,
      counters: newProgressCounters(),
      signal: hard.signal,
      admission: soft.signal,
      spoolDirectory: join(folder, `spool-${++runs}`),
      lookupPatienceMs: trouble?.lookupPatienceMs ?? 60_000_000,
      ...(trouble?.spoolBytes === undefined ? {} : { spoolBytes: trouble.spoolBytes }),
    }),
  );
  return { result, sources, targets };
}

/** A copy that waits for what never comes would end this test only by its own time limit, without saying for which input. */
async function endingSoon<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('the copy hangs')), 20_000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Every artifact has its outcome, and what is called good is whole. */
async function expectHonest(world: World, { result }: Ran): Promise<void> {
  expect(result.outcomes.map(({ artifact }) => artifact)).toEqual(
    world.spec.artifacts.map((_, index) => `artifact ${index}`),
  );
  for (const [index, outcome] of result.outcomes.entries()) {
    if (outcome.kind === 'failed') expect(outcome.failures.length).toBeGreaterThan(0);
    else expect(await artifactFlaws(world, index)).toEqual([]);
  }
}

/** What holds in every run in which nothing fails. */
async function expectFlawless(world: World, ran: Ran): Promise<void> {
  await expectHonest(world, ran);
  expect(ran.result.outcomes.filter(({ kind }) => kind === 'failed')).toEqual([]);
  const reads = ran.sources.flatMap(({ calls }) => calls.filter(({ operation }) => operation === 'openBlob'));
  expect(repeated(reads.map(({ reference }) => reference))).toEqual([]);
  let uploads = 0;
  let manifests = 0;
  for (const { calls, early } of ran.targets) {
    expect(early).toEqual([]);
    const puts = calls.filter(({ operation }) => operation === 'finishUpload');
    expect(puts.filter(({ held }) => held)).toEqual([]);
    expect(repeated(puts.map(({ repository, reference }) => `${repository} ${reference}`))).toEqual([]);
    const written = calls.filter(({ operation }) => operation === 'writeManifest');
    expect(repeated(written.map(({ repository, reference }) => `${repository} ${reference}`))).toEqual([]);
    uploads += puts.length;
    manifests += written.length;
  }
  const { blobsRead, blobsWritten, manifestsWritten } = ran.result.totals;
  expect({ blobsRead, blobsWritten, manifestsWritten }).toEqual({
    blobsRead: reads.length,
    blobsWritten: uploads,
    manifestsWritten: manifests,
  });
}

function repeated(keys: readonly string[]): readonly string[] {
  return keys.filter((key, index) => keys.indexOf(key) !== index);
}

/** A run over what is complete writes nothing and reads no blob. */
async function expectNothingToDo(world: World): Promise<void> {
  const { result, sources, targets } = await run(world);
  expect(result.outcomes.filter(({ kind }) => kind !== 'unchanged')).toEqual([]);
  const moved = [...sources, ...targets].flatMap(({ calls }) =>
    calls.filter(({ operation }) => moving.some((each) => each === operation)),
  );
  expect(moved).toEqual([]);
}

describe('copying random graphs', () => {
  it('moves each blob once and each manifest after its blobs, and has nothing to do afterwards', async () => {
    await fc.assert(
      fc.asyncProperty(anyWorld, async (spec) => {
        const world = await worldOf(spec);
        await run(world, 'before');
        await expectFlawless(world, await run(world));
        await expectNothingToDo(world);
      }),
      { seed, numRuns: 40 },
    );
  });

  it('calls good only what is whole when things fail, and completes it in the next run', async () => {
    let struck = 0;
    await fc.assert(
      fc.asyncProperty(anyWorld, anyTrouble, async (spec, trouble) => {
        const world = await worldOf(spec);
        await run(world, 'before');
        const troubled = await run(world, 'all', trouble);
        struck += [...troubled.sources, ...troubled.targets].filter((host) => host.struck() > 0).length;
        await expectHonest(world, troubled);
        for (const { early } of troubled.targets) expect(early).toEqual([]);
        await expectFlawless(world, await run(world));
        await expectNothingToDo(world);
      }),
      { seed, numRuns: 60 },
    );
    // Else this would say nothing.
    expect(struck).toBeGreaterThan(60);
  });
});
