import type { ReplicationError } from '../model/errors.ts';
import { failureOf, type Failure, type Outcome } from '../model/result.ts';
import { graphBlobs, type Prepared, type PreparedReferrer } from './prepared.ts';
import { type CopyRequest, placeName } from './request.ts';
import { asError, type Run } from './run.ts';
import type { Ready } from './start-order.ts';
import type { PreparedTarget } from './target-state.ts';
import { needOf, writeGraph } from './write-graph.ts';

/** An artifact of which is known what has to be copied. */
export interface Work extends Ready {
  readonly request: CopyRequest;
  readonly copy: Prepared & { readonly kind: 'copy' };
}

/** Bytes that have to move: what goes first, and the smaller the sooner. */
export function missingBytes({ main }: Work['copy']): number {
  const bytes = main.targets.flatMap((target) => target.blobs.map((blob) => blob.descriptor.size));
  return bytes.reduce((sum, each) => sum + each, 0);
}

/** Tells the mover of every blob that the artifact's targets hold or need, before any of them moves. */
export function announceBlobs(run: Run, { copy, bytes }: Work): void {
  for (const graph of [copy.main, ...copy.referrers.map((referrer) => referrer.graph)]) {
    for (const target of graph.targets) {
      const asked = new Set(target.blobs.map((blob) => blob.descriptor.digest));
      for (const blob of graphBlobs(graph))
        if (!asked.has(blob.digest)) run.mover.present(target.place.store, target.place.repository, blob.digest);
      for (const blob of target.blobs) run.mover.announce(needOf(run, graph, target, blob, bytes));
    }
  }
}

/**
 * Copies one artifact, its referrers after it. Nothing is thrown: what went wrong is in the outcome.
 * @param moved called when the blobs of its own graph have moved, whatever became of them
 */
export async function copyArtifact(
  { request, copy, bytes: priority }: Work,
  run: Run,
  moved: () => void,
): Promise<Outcome> {
  const started = performance.now();
  run.options.reporter.emit({ type: 'artifact-started', artifact: request.artifact });
  // The tag says that all is there. So where there are referrers it comes last: a run that is cut off between finds the
  // tag missing and brings them, instead of taking an image without its signature for complete.
  const tagLast = copy.referrers.length > 0;
  let left = copy.main.targets.length;
  const oneMoved = (): void => {
    left -= 1;
    if (left === 0) moved();
  };
  const attempts = await Promise.allSettled(
    copy.main.targets.map((target) =>
      writeGraph(run, copy.main, tagLast ? byDigest(copy, target) : target, priority, oneMoved),
    ),
  );
  const failures = attempts.flatMap((attempt) => (attempt.status === 'rejected' ? [asError(attempt.reason, run)] : []));
  let bytes = attempts.reduce((sum, attempt) => sum + (attempt.status === 'fulfilled' ? attempt.value : 0), 0);
  if (failures.length === 0) {
    const came = await Promise.all(copy.referrers.map((referrer) => copyReferrer(run, request, referrer, priority)));
    bytes += came.reduce((sum, each) => sum + each.bytes, 0);
    failures.push(...came.flatMap((each) => each.failures));
  }
  if (tagLast && failures.length === 0) {
    const tags = await Promise.allSettled(
      copy.main.targets.map((target) => writeGraph(run, copy.main, { ...target, blobs: [] }, priority)),
    );
    failures.push(...tags.flatMap((each) => (each.status === 'rejected' ? [asError(each.reason, run)] : [])));
  }
  if (failures.length > 0) return failed(request, failures);
  return {
    kind: 'copied',
    artifact: request.artifact,
    targets: request.targets.map(placeName),
    digest: copy.digest,
    bytes,
    seconds: (performance.now() - started) / 1000,
  };
}

function byDigest(copy: Work['copy'], target: PreparedTarget): PreparedTarget {
  return { ...target, place: { ...target.place, reference: copy.main.root.content.descriptor.digest } };
}

/** Copies a signature, attestation or SBOM. What the target does not support is a notice; anything else is a failure. */
async function copyReferrer(
  run: Run,
  request: CopyRequest,
  referrer: PreparedReferrer,
  priority: number,
): Promise<{ readonly bytes: number; readonly failures: readonly ReplicationError[] }> {
  const results = await Promise.allSettled(
    referrer.graph.targets.map((target) => writeGraph(run, referrer.graph, target, priority)),
  );
  let bytes = 0;
  const failures: ReplicationError[] = [];
  for (const result of results) {
    if (result.status === 'fulfilled') {
      bytes += result.value;
      continue;
    }
    const error = asError(result.reason, run);
    if (error.code === 'unsupported')
      run.notices.push(
        `${request.artifact}: the target does not take its referrer ${referrer.reference}: ${error.message}`,
      );
    else failures.push(error);
  }
  return { bytes, failures };
}

/** The outcome of an artifact that could not be copied, or not to every target. */
export function failed(request: CopyRequest, errors: readonly ReplicationError[]): Outcome {
  const failures: Failure[] = errors.map((error) => failureOf(request.artifact, error));
  return { kind: 'failed', artifact: request.artifact, targets: request.targets.map(placeName), failures };
}
