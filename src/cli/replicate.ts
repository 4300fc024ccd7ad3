import { chartAtTarget } from '../charts/target.ts';
import { copyArtifacts } from '../copy/copy.ts';
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

export interface Replication {
  readonly outcomes: readonly Outcome[];
  readonly failures: readonly Failure[];
  readonly notices: readonly string[];
  readonly totals: Totals;
}

/** Copies what differs, then has the target prove that it holds all of it. The middle of every job. */
export async function replicate(session: Session, work: ReplicationWork): Promise<Replication> {
  session.reporter.emit({ type: 'phase', phase: 'copy' });
  const charts = await Promise.all(work.charts.map((chart) => unchangedChart(chart, session)));
  const requests = [
    ...work.charts.filter((_, position) => charts[position] === undefined).map((chart) => chart.request),
    ...work.images,
  ];
  const present = charts.filter((outcome) => outcome !== undefined);
  for (const outcome of present) session.reporter.emit({ type: 'artifact-finished', outcome });
  const copied = await copyArtifacts(requests, session.copyOptions());
  const outcomes = [...present, ...copied.outcomes];
  const all = [...work.charts.map((chart) => chart.request), ...work.images];
  if (!work.verify || session.admission.aborted) return summary(outcomes, [], [copied]);
  session.reporter.emit({ type: 'phase', phase: 'verify' });
  return verified(session, all, outcomes, copied);
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

async function verified(
  session: Session,
  requests: readonly CopyRequest[],
  outcomes: readonly Outcome[],
  copied: CopyResult,
): Promise<Replication> {
  const byArtifact = new Map(requests.map((request) => [request.artifact, request]));
  const expectations = outcomes.flatMap((outcome): Expectation[] => {
    const request = byArtifact.get(outcome.artifact);
    return outcome.kind === 'failed' || request === undefined
      ? []
      : [{ artifact: outcome.artifact, digest: outcome.digest, targets: request.targets }];
  });
  const options = { signal: session.signal };
  const mismatches = await verifyArtifacts(expectations, options);
  const broken = new Set(mismatches.filter((mismatch) => mismatch.repairable).map((mismatch) => mismatch.artifact));
  const repairs = requests.filter((request) => broken.has(request.artifact));
  if (repairs.length === 0) return summary(outcomes, mismatches, [copied]);
  session.reporter.emit({
    type: 'notice',
    level: 'warning',
    message: `${broken.size} artifacts are incomplete at the target and are mended`,
  });
  const mended = await copyArtifacts(
    repairs.map((request) => ({ ...request, repair: true })),
    session.copyOptions(),
  );
  const better = new Map(mended.outcomes.map((outcome) => [outcome.artifact, outcome]));
  const final = outcomes.map((outcome) => better.get(outcome.artifact) ?? outcome);
  const again = expectations.filter(({ artifact }) => broken.has(artifact) && better.get(artifact)?.kind !== 'failed');
  const left = [...mismatches.filter((mismatch) => !mismatch.repairable), ...(await verifyArtifacts(again, options))];
  return summary(final, left, [copied, mended]);
}

function summary(
  outcomes: readonly Outcome[],
  mismatches: readonly Mismatch[],
  runs: readonly CopyResult[],
): Replication {
  const wrong = mismatches.map(({ artifact, error }) => failureOf(artifact, toReplicationError(error)));
  return {
    outcomes,
    failures: [...outcomes.flatMap((outcome) => (outcome.kind === 'failed' ? outcome.failures : [])), ...wrong],
    notices: runs.flatMap((run) => run.notices),
    totals: runs.map((run) => run.totals).reduce(addTotals),
  };
}

function addTotals(a: Totals, b: Totals): Totals {
  return {
    bytesRead: a.bytesRead + b.bytesRead,
    bytesWritten: a.bytesWritten + b.bytesWritten,
    blobsRead: a.blobsRead + b.blobsRead,
    blobsWritten: a.blobsWritten + b.blobsWritten,
    blobsMounted: a.blobsMounted + b.blobsMounted,
    manifestsWritten: a.manifestsWritten + b.manifestsWritten,
    seconds: a.seconds + b.seconds,
  };
}
