import pLimit from 'p-limit';
import { chartAtTarget } from '../charts/target.ts';
import { placeName, type TargetPlace } from '../copy/request.ts';
import { type Expectation, type Mismatch, verifyArtifacts } from '../copy/verify.ts';
import type { Digest } from '../model/digest.ts';
import { isReplicationError, toReplicationError } from '../model/errors.ts';
import { digestAtTarget, type Lock, type LockedChart, type LockFinding } from '../model/lock.ts';
import type { WriteStore } from '../model/store.ts';
import { splitTarget } from '../model/target-name.ts';
import { targetPlace } from './copy-requests.ts';
import { onePerRepository } from './lock-contents.ts';

type TargetStore = (host: string) => WriteStore;

/** Names asked about at the same time. */
const lookups = 32;

const again = 'run the job again (with --lock to bring exactly this back)';

/** Whether the target holds everything that a lock names, down to the last blob. Reads only. */
export async function checkTarget(
  lock: Lock,
  store: TargetStore,
  signal: AbortSignal,
): Promise<readonly LockFinding[]> {
  const limit = pLimit(lookups);
  const charts = await Promise.all(lock.charts.map((chart) => limit(() => checkChart(chart, store, signal))));
  const expectations = [
    ...lock.images.flatMap((image) => {
      const places = image.targets.map((target) => placeOf(target, store));
      const referrers = image.referrers.flatMap(({ reference, digest }) =>
        onePerRepository(places).map((place) =>
          expect(`${image.source} (${reference})`, { ...place, reference }, digest),
        ),
      );
      return [...places.map((place) => expect(image.source, place, digestAtTarget(image))), ...referrers];
    }),
    ...charts.flatMap((each) => each.expectations),
  ];
  const mismatches = await verifyArtifacts(expectations, { signal });
  const byPlace = new Map<Expectation, Mismatch[]>();
  for (const each of mismatches) byPlace.set(each.expectation, [...(byPlace.get(each.expectation) ?? []), each]);
  const found = await Promise.all([...byPlace].map(([each, all]) => limit(() => findingOf(each, all, signal))));
  return [...charts.flatMap((each) => each.findings), ...found];
}

function placeOf(target: string, store: TargetStore): TargetPlace {
  return targetPlace(target, store(splitTarget(target).host));
}

/** One expectation a place, so that each mismatch is one place's. */
function expect(artifact: string, place: TargetPlace, digest: Digest): Expectation {
  return { artifact, digest, targets: [place] };
}

/** Says what is wrong with a place that failed verification: one more request tells whether the name, or what is below it. */
async function findingOf(
  { artifact, digest, targets: [place] }: Expectation,
  mismatches: readonly Mismatch[],
  signal: AbortSignal,
): Promise<LockFinding> {
  const [first] = mismatches;
  if (place === undefined || first === undefined) throw new Error('a mismatch without place');
  const finding = { artifact, at: 'target', reference: placeName(place), locked: digest } as const;
  const unsure = mismatches.find(({ repairable }) => !repairable);
  if (unsure !== undefined) return unknown(finding, unsure.error);
  try {
    const found = (await place.store.resolve(place.repository, place.reference, signal)).digest;
    if (found !== digest)
      return {
        ...finding,
        state: 'changed',
        found,
        why: `it holds ${found}`,
        remedy: `${again}, if it should hold what is locked`,
      };
    const why = mismatches.map(({ error }) => error.message).slice(0, 3);
    const more = mismatches.length > why.length ? [`and ${mismatches.length - why.length} more`] : [];
    return { ...finding, state: 'damaged', found, why: [...why, ...more].join('; '), remedy: again };
  } catch (error) {
    if (!isReplicationError(error, 'not-found')) return unknown(finding, error);
    return { ...finding, state: 'missing', why: `${place.store.name} holds nothing under this name`, remedy: again };
  }
}

/** A question that could not be answered (host away, no credentials) is a finding too, and not "missing". */
export function unknown(finding: Omit<LockFinding, 'state' | 'why' | 'remedy'>, error: unknown): LockFinding {
  const { message, remedy } = toReplicationError(error);
  return { ...finding, state: 'unknown', why: message, remedy };
}

/** A chart is known by its archive: whoever pushed it may have stamped a time into its manifest. */
async function checkChart(
  chart: LockedChart,
  store: TargetStore,
  signal: AbortSignal,
): Promise<{ readonly findings: readonly LockFinding[]; readonly expectations: readonly Expectation[] }> {
  const place = placeOf(chart.target, store);
  const artifact = `chart ${chart.name} ${chart.version}`;
  const finding = { artifact, at: 'target', reference: placeName(place), locked: chart.digest } as const;
  const none = { expectations: [] };
  try {
    const held = await chartAtTarget(place.store, place.repository, place.reference, chart.digest, signal);
    switch (held.kind) {
      case 'absent': {
        const why = `${place.store.name} holds nothing under this name`;
        return { ...none, findings: [{ ...finding, state: 'missing', why, remedy: again }] };
      }
      case 'different': {
        const why = `the manifest ${held.digest} there holds another chart archive, or none`;
        return { ...none, findings: [{ ...finding, state: 'changed', found: held.digest, why, remedy: again }] };
      }
      case 'same': {
        const referrers = chart.referrers.map(({ reference, digest }) =>
          expect(`${artifact} (${reference})`, { ...place, reference }, digest),
        );
        return { findings: [], expectations: [expect(artifact, place, held.digest), ...referrers] };
      }
    }
  } catch (error) {
    return { ...none, findings: [unknown(finding, error)] };
  }
}
