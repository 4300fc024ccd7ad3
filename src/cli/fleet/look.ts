import pLimit from 'p-limit';
import { blobsOf, inWriteOrder, loadGraph } from '../../copy/graph.ts';
import { type CopyRequest, placeName } from '../../copy/request.ts';
import { type Digest, isDigest } from '../../model/digest.ts';
import { isReplicationError, toReplicationError } from '../../model/errors.ts';
import type { Descriptor } from '../../model/manifest.ts';
import { type Failure, failureOf } from '../../model/result.ts';

/** What copying an image takes, as far as its source tells. */
export interface Looked {
  /** What the source names now; `undefined` where it could not be asked. */
  readonly digest: Digest | undefined;
  /** To be written, over all names. */
  readonly manifests: number;
  readonly blobs: readonly BlobWeight[];
  /** Why it could not be looked at. The worker meets the same, and tells it. */
  readonly failure: Failure | undefined;
}

export interface BlobWeight {
  readonly digest: Digest;
  readonly size: number;
}

/** Graphs that are in memory at the same time. */
const atOnce = 12;

/**
 * Looks at every image, in the order given. Of a graph no more stays in memory than the names and sizes of its blobs, each
 * name once over all images.
 * @param compared the targets are known to hold something else; otherwise they are asked, and an image that they hold weighs
 *   nothing: reading its manifests would cost pulls for nothing
 */
export async function lookAt(
  requests: readonly CopyRequest[],
  compared: boolean,
  signal: AbortSignal,
): Promise<readonly Looked[]> {
  const limit = pLimit(atOnce);
  const known = new Map<Digest, BlobWeight>();
  const once = ({ digest, size }: Descriptor): BlobWeight => {
    const found = known.get(digest) ?? { digest, size };
    known.set(digest, found);
    return found;
  };
  return Promise.all(requests.map((request) => limit(() => look(request, compared, once, signal))));
}

async function look(
  request: CopyRequest,
  compared: boolean,
  once: (blob: Descriptor) => BlobWeight,
  signal: AbortSignal,
): Promise<Looked> {
  const { artifact, source, targets, platforms } = request;
  try {
    signal.throwIfAborted();
    const digest = isDigest(source.reference)
      ? source.reference
      : (await source.store.resolve(source.repository, source.reference, signal)).digest;
    if (!compared && platforms === 'all' && (await heldEverywhere(request, digest, signal)))
      return { digest, manifests: 0, blobs: [], failure: undefined };
    const root = await loadGraph(source.store, source.repository, digest, platforms, signal);
    return {
      digest,
      manifests: inWriteOrder(root).length * targets.length,
      blobs: blobsOf(root).map(once),
      failure: undefined,
    };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const reference = placeName(source);
    const failure = failureOf(
      artifact,
      toReplicationError(error, { side: 'source', reference, host: source.store.name }),
    );
    return { digest: undefined, manifests: 0, blobs: [], failure };
  }
}

/** A target that cannot be asked has to be written to, as far as the plan knows: the worker meets the obstacle itself. */
async function heldEverywhere({ targets }: CopyRequest, digest: Digest, signal: AbortSignal): Promise<boolean> {
  for (const { store, repository, reference } of targets) {
    try {
      if ((await store.resolve(repository, reference, signal)).digest !== digest) return false;
    } catch (error) {
      if (isReplicationError(error)) return false;
      throw error;
    }
  }
  return true;
}
