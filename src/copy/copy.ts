import { setMaxListeners } from 'node:events';
import pLimit from 'p-limit';
import { isReplicationError, type ReplicationError, toReplicationError } from '../model/errors.ts';
import { failureOf, type CopyResult, type Failure, type Outcome } from '../model/result.ts';
import { type BlobMover, createBlobMover } from './blob-mover.ts';
import type { BlobNeed } from './blob-state.ts';
import type { ManifestNode } from './graph.ts';
import { createManifestWriter, type ManifestWriter } from './manifest-writer.ts';
import { createPreparer, graphBlobs, type Prepared, type PreparedGraph, type PreparedReferrer } from './prepare.ts';
import { type CopyOptions, type CopyRequest, placeName } from './request.ts';
import { createSlots } from './slots.ts';
import { watchTime } from './spent.ts';
import type { PreparedBlob, PreparedTarget } from './target-state.ts';
import { createSpool } from './spool.ts';
import { type Ready, startInOrder } from './start-order.ts';

interface Run {
  readonly options: CopyOptions;
  readonly mover: BlobMover;
  readonly writer: ManifestWriter;
  readonly notices: string[];
}

/**
 * Copies artifacts: asks what has to be copied, then moves every unique blob once, and writes manifests bottom-up as
 * soon as their blobs are there. One artifact's failure does not stop the others; nothing is thrown but defects.
 */
export async function copyArtifacts(requests: readonly CopyRequest[], options: CopyOptions): Promise<CopyResult> {
  const started = performance.now();
  const { counters, reporter } = options;
  const spent = watchTime(counters);
  const readBefore = counters.readBytes;
  const writtenBefore = counters.writtenBytes;
  counters.artifactsTotal += requests.length;
  // One signal stops the whole run: everything under way listens to it, which is no leak.
  setMaxListeners(0, options.signal);
  const spool = createSpool(options.spoolDirectory, options.spoolBytes ?? 4 * 2 ** 30);
  const mover = createBlobMover({
    slots: createSlots(options.transfers ?? 24, options.transfersPerHost ?? 16, options.admission),
    spool,
    counters,
    signal: options.signal,
    onRetry: (host, what, reason, delaySeconds, attempt) =>
      reporter.emit({ type: 'retry', host, what, reason, delaySeconds, attempt }),
  });
  const writer = createManifestWriter({
    signal: options.signal,
    onBytes: (count) => {
      counters.expectedBytes += count;
      counters.writtenBytes += count;
    },
  });
  const run: Run = { options, mover, writer, notices: [] };
  try {
    const outcomes = await copyAll(requests, run);
    return {
      outcomes,
      notices: run.notices,
      totals: {
        ...mover.totals,
        ...writer.totals,
        bytesRead: counters.readBytes - readBefore,
        bytesWritten: counters.writtenBytes - writtenBefore,
        seconds: (performance.now() - started) / 1000,
        spent: spent(),
      },
    };
  } finally {
    await spool.close();
  }
}

async function copyAll(requests: readonly CopyRequest[], run: Run): Promise<readonly Outcome[]> {
  const { options } = run;
  const preparer = createPreparer(requests, options);
  const lookup = pLimit(options.lookups ?? 48);
  const finish = (outcome: Outcome): Outcome => {
    options.counters.artifactsDone += 1;
    options.reporter.emit({ type: 'artifact-finished', outcome });
    return outcome;
  };
  const prepare = async (request: CopyRequest): Promise<Work | Outcome> => {
    try {
      options.signal.throwIfAborted();
      options.admission?.throwIfAborted();
      const result = await preparer.prepare(request);
      if (result.kind === 'copy') return { kind: 'work', request, copy: result, bytes: missingBytes(result) };
      const { artifact, targets } = request;
      return finish({ kind: 'unchanged', artifact, targets: targets.map(placeName), digest: result.digest });
    } catch (error) {
      return finish(failed(request, [asError(error, run)]));
    }
  };
  return startInOrder(
    requests.map((request) => lookup(() => prepare(request))),
    {
      patienceMs: options.lookupPatienceMs ?? Math.max(10_000, requests.length * 20),
      announce: (works) => {
        for (const work of works) announceAll(run, work);
      },
      start: async (work, moved) => finish(await copyOne(work, run, moved)),
      settled: () => run.mover.allAnnounced(),
    },
  );
}

interface Work extends Ready {
  readonly request: CopyRequest;
  readonly copy: Prepared & { readonly kind: 'copy' };
}

/** Bytes that have to move: what goes first, and the smaller the sooner. */
function missingBytes({ main }: Work['copy']): number {
  const bytes = main.targets.flatMap((target) => target.blobs.map((blob) => blob.descriptor.size));
  return bytes.reduce((sum, each) => sum + each, 0);
}

function needOf(
  run: Run,
  graph: PreparedGraph,
  target: PreparedTarget,
  blob: PreparedBlob,
  priority: number,
): BlobNeed {
  const { openUrl } = run.options;
  const url = blob.descriptor.urls?.[0];
  return {
    descriptor: blob.descriptor,
    source: {
      store: graph.source.store,
      repository: graph.source.repository,
      openUrl:
        blob.foreign && openUrl !== undefined && url !== undefined ? (signal) => openUrl(url, signal) : undefined,
    },
    store: target.place.store,
    repository: target.place.repository,
    priority,
    missing: blob.missing,
  };
}

function announceAll(run: Run, { copy, bytes }: Work): void {
  for (const graph of [copy.main, ...copy.referrers.map((referrer) => referrer.graph)]) {
    for (const target of graph.targets) {
      const asked = new Set(target.blobs.map((blob) => blob.descriptor.digest));
      for (const blob of graphBlobs(graph))
        if (!asked.has(blob.digest)) run.mover.present(target.place.store, target.place.repository, blob.digest);
      for (const blob of target.blobs) run.mover.announce(needOf(run, graph, target, blob, bytes));
    }
  }
}

async function copyOne({ request, copy, bytes: priority }: Work, run: Run, moved: () => void): Promise<Outcome> {
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

/** Moves the blobs of a graph into one repository and writes its manifests. Returns the bytes sent. */
async function writeGraph(
  run: Run,
  graph: PreparedGraph,
  target: PreparedTarget,
  priority: number,
  moved: () => void = () => undefined,
): Promise<number> {
  const { store, repository, reference } = target.place;
  const blobs = graphBlobs(graph);
  try {
    const moving = new Map(
      target.blobs.map((blob) => [blob.descriptor.digest, moveBlob(run, graph, target, blob, priority)]),
    );
    const there = (node: ManifestNode): Promise<unknown> =>
      Promise.all(node.blobs.map(async (blob) => moving.get(blob.digest)));
    const writing = run.writer.write(store, repository, reference, graph.root, target.skip, there);
    const arriving = Promise.allSettled(moving.values()).finally(moved);
    const [[written], sent] = await Promise.all([Promise.allSettled([writing]), arriving]);
    const broken = sent.find((each) => each.status === 'rejected');
    if (broken !== undefined) throw broken.reason;
    let bytes = sent.reduce((sum, each) => sum + (each.status === 'fulfilled' ? each.value : 0), 0);
    if (written.status === 'rejected') {
      if (!isReplicationError(written.reason, 'blob-unknown')) throw written.reason;
      // ECR may drop layers that no manifest refers to yet, and forget children: what is missing is sent again, once.
      bytes += await mend(run, graph, target, priority, written.reason.message);
      await run.writer.write(store, repository, reference, graph.root, new Set(), () => Promise.resolve());
    }
    run.mover.committed(store, repository, blobs);
    return bytes;
  } catch (error) {
    run.mover.abandoned(store, repository, blobs);
    const known = toReplicationError(error);
    const side = known.side ?? 'target';
    const at = side === 'source' ? graph.source : target.place;
    throw known.with({ side }).about(placeName(at), known.host ?? at.store.name);
  }
}

async function moveBlob(
  run: Run,
  graph: PreparedGraph,
  target: PreparedTarget,
  blob: PreparedBlob,
  priority: number,
): Promise<number> {
  try {
    return await run.mover.fulfil(needOf(run, graph, target, blob, priority));
  } catch (error) {
    if (!blob.foreign || !isReplicationError(error, 'not-found', 'refused', 'unreachable', 'denied', 'unauthorized'))
      throw error;
    run.notices.push(
      `${placeName(graph.source)}: the foreign layer ${blob.descriptor.digest} stays at ${blob.descriptor.urls?.[0] ?? 'its vendor'} (${error.message}); whoever pulls the image needs to reach it`,
    );
    return 0;
  }
}

/** @param refusal what the target said: the blobs that it names are sent again, whatever it says of them when it is asked */
async function mend(
  run: Run,
  graph: PreparedGraph,
  target: PreparedTarget,
  priority: number,
  refusal: string,
): Promise<number> {
  const { store, repository } = target.place;
  const blobs = graphBlobs(graph);
  const missing = await store.missingBlobs(repository, blobs, run.options.signal);
  run.writer.forget(store, repository, graph.root);
  const again = blobs
    .filter((blob) => missing.has(blob.digest) || refusal.includes(blob.digest))
    .map((descriptor): PreparedBlob => ({ descriptor, missing: true, foreign: false }));
  for (const blob of again) run.mover.forget(store, repository, blob.descriptor.digest);
  const sent = await Promise.all(again.map((blob) => moveBlob(run, graph, target, blob, priority)));
  return sent.reduce((sum, bytes) => sum + bytes, 0);
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

function asError(error: unknown, run: Run): ReplicationError {
  for (const stop of [run.options.signal, run.options.admission]) {
    if (stop?.aborted === true && !isReplicationError(error)) return toReplicationError(stop.reason);
  }
  return toReplicationError(error);
}

function failed(request: CopyRequest, errors: readonly ReplicationError[]): Outcome {
  const failures: Failure[] = errors.map((error) => failureOf(request.artifact, error));
  return { kind: 'failed', artifact: request.artifact, targets: request.targets.map(placeName), failures };
}
