import { chartAtTarget } from '../charts/target.ts';
import { copyArtifacts } from '../copy/copy.ts';
import { addSpent } from '../copy/spent.ts';
import { type CopyRequest, placeName } from '../copy/request.ts';
import { type Expectation, type Mismatch, verifyArtifacts } from '../copy/verify.ts';
import type { Digest } from '../model/digest.ts';
import { toReplicationError } from '../model/errors.ts';
import { type CopyResult, type Failure, failureOf, type Outcome, type Totals } from '../model/result.ts';
import type { Session } from './session.ts';

/** A chart on its way to the target. */
export interface ChartCopy {
  readonly request: CopyRequest;
  /** sha256 of the archive, which is the digest of the chart layer. */
  readonly archiveDigest: Digest;
}

export interface ReplicationWork {
  readonly images: readonly CopyRequest[];
  readonly charts: readonly ChartCopy[];
  /** Ask the target for every manifest and blob afterwards, and mend what is missing. */
  readonly verify: boolean;
}

/** What came of a request. */
export interface Done {
  readonly request: CopyRequest;
  readonly outcome: Outcome;
}

export interface OneTry {
  /** In the order of the requests, but charts that lie at the target already come first. */
  readonly done: readonly Done[];
  /** What the target's proof has shown beyond what failed to be copied. */
  readonly mismatches: readonly Failure[];
  readonly notices: readonly string[];
  readonly totals: Totals;
}

/** Copies what differs, then has the target prove that it holds all of it; each artifact is tried once. */
export async function replicateOnce(session: Session, work: ReplicationWork): Promise<OneTry> {
  session.reporter.emit({ type: 'phase', phase: 'copy' });
  const charts = await Promise.all(
    work.charts.map(async (chart) => ({ request: chart.request, outcome: await unchangedChart(chart, session) })),
  );
  const present = charts.flatMap(({ request, outcome }): Done[] =>
    outcome === undefined ? [] : [{ request, outcome }],
  );
  for (const { outcome } of present) session.reporter.emit({ type: 'artifact-finished', outcome });
  const requests = [
    ...charts.flatMap(({ request, outcome }) => (outcome === undefined ? [request] : [])),
    ...work.images,
  ];
  const copied = await copyArtifacts(requests, { ...session.copyOptions(), refreshReferrers: work.verify });
  const done = [...present, ...paired(requests, copied)];
  if (!work.verify || session.admission.aborted) return summary(done, [], [copied]);
  session.reporter.emit({ type: 'phase', phase: 'verify' });
  return verified(session, done, copied);
}

/** Outcomes come in the order of the requests; two artifacts may well have one name. */
function paired(requests: readonly CopyRequest[], result: CopyResult): readonly Done[] {
  return requests.flatMap((request, position) => {
    const outcome = result.outcomes[position];
    return outcome === undefined ? [] : [{ request, outcome }];
  });
}

/** A chart that lies at the target with the same content needs no copy, whatever its manifest's digest is. */
async function unchangedChart(chart: ChartCopy, session: Session): Promise<Outcome | undefined> {
  const { request, archiveDigest } = chart;
  try {
    const found = await Promise.all(
      request.targets.map((place) =>
        chartAtTarget(place.store, place.repository, place.reference, archiveDigest, session.signal),
      ),
    );
    const [first] = found;
    if (first?.kind !== 'same' || !found.every((each) => each.kind === 'same')) return undefined;
    return {
      kind: 'unchanged',
      artifact: request.artifact,
      targets: request.targets.map(placeName),
      digest: first.digest,
    };
  } catch {
    // The copy meets the same obstacle and tells it with everything around it.
    return undefined;
  }
}

function expected({ request, outcome }: Done): readonly Expectation[] {
  if (outcome.kind === 'failed') return [];
  return [{ artifact: outcome.artifact, digest: outcome.digest, targets: request.targets }];
}

async function verified(session: Session, done: readonly Done[], copied: CopyResult): Promise<OneTry> {
  const expectations = new Map(
    done.flatMap((each) => expected(each).map((expectation) => [expectation, each] as const)),
  );
  const options = { signal: session.signal };
  const mismatches = await verifyArtifacts([...expectations.keys()], options);
  const repairable = new Set(
    mismatches.filter((each) => each.repairable).map((each) => expectations.get(each.expectation)),
  );
  const broken = done.filter((each) => repairable.has(each));
  const left = mismatches.filter((each) => !repairable.has(expectations.get(each.expectation)));
  if (broken.length === 0) return summary(done, left, [copied]);
  session.reporter.emit({
    type: 'notice',
    level: 'warning',
    message: `${broken.length} artifacts are incomplete at the target and are mended`,
  });
  const repairs = broken.map(({ request }) => ({ ...request, repair: true }));
  const mended = await copyArtifacts(repairs, session.copyOptions());
  const again = paired(
    broken.map(({ request }) => request),
    mended,
  );
  const byRequest = new Map(again.map((each) => [each.request, each]));
  const final = done.map((each) => byRequest.get(each.request) ?? each);
  return summary(final, [...left, ...(await verifyArtifacts(again.flatMap(expected), options))], [copied, mended]);
}

function summary(done: readonly Done[], mismatches: readonly Mismatch[], runs: readonly CopyResult[]): OneTry {
  return {
    done,
    mismatches: mismatches.map(({ artifact, error }) => failureOf(artifact, toReplicationError(error))),
    notices: runs.flatMap((run) => run.notices),
    totals: runs.map((run) => run.totals).reduce(addTotals),
  };
}

export function addTotals(a: Totals, b: Totals): Totals {
  return {
    bytesRead: a.bytesRead + b.bytesRead,
    bytesWritten: a.bytesWritten + b.bytesWritten,
    blobsRead: a.blobsRead + b.blobsRead,
    blobsWritten: a.blobsWritten + b.blobsWritten,
    blobsMounted: a.blobsMounted + b.blobsMounted,
    manifestsWritten: a.manifestsWritten + b.manifestsWritten,
    spent: addSpent(a.spent, b.spent),
    seconds: a.seconds + b.seconds,
  };
}
