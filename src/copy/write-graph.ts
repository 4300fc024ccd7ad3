import { isReplicationError, toReplicationError } from '../model/errors.ts';
import type { BlobNeed } from './blob-state.ts';
import type { ManifestNode } from './graph.ts';
import { graphBlobs, type PreparedGraph } from './prepared.ts';
import { placeName } from './request.ts';
import type { Run } from './run.ts';
import type { PreparedBlob, PreparedTarget } from './target-state.ts';

/** Moves the blobs of a graph into one repository and writes its manifests. Returns the bytes sent. */
export async function writeGraph(
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
      inOrder(target.blobs).map((blob) => [blob.descriptor.digest, moveBlob(run, graph, target, blob, priority)]),
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

/**
 * The smallest first, for the first of a run shows whether the target mounts, and others wait for that; then the largest,
 * which would be alone on its way at the end.
 */
function inOrder(blobs: readonly PreparedBlob[]): readonly PreparedBlob[] {
  const bySize = blobs.toSorted((a, b) => b.descriptor.size - a.descriptor.size);
  const smallest = bySize.pop();
  return smallest === undefined ? [] : [smallest, ...bySize];
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

/** What one repository needs of a blob. */
export function needOf(
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
