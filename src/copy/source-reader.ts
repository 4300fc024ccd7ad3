import pLimit, { type LimitFunction } from 'p-limit';
import { type Digest, isDigest } from '../model/digest.ts';
import { isReplicationError, toReplicationError } from '../model/errors.ts';
import type { Platform } from '../model/platform.ts';
import type { ReadStore } from '../model/store.ts';
import { loadGraph, type ManifestNode } from './graph.ts';
import { platformList } from './platform-subset.ts';
import { allTags, findReferrers, type FoundReferrer } from './referrers.ts';
import { type CopyRequest, placeName } from './request.ts';
import { storeMemo } from './store-memo.ts';

/** Images of one source that are read at the same time: a few that are known soon can start while the others are read. */
const graphsPerSource = 12;

/** Reads manifests, tags and lists of referrers from the sources of a run, each of them once. Errors are of side `source`. */
export class SourceReader {
  readonly #signal: AbortSignal;
  readonly #graphs = storeMemo<ManifestNode>();
  readonly #tags = storeMemo<ReadonlySet<string> | undefined>();
  readonly #turns = new Map<ReadStore, LimitFunction>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Waits until few enough images of the request's source are being read. */
  inTurn<T>({ source }: CopyRequest, work: () => Promise<T>): Promise<T> {
    let limit = this.#turns.get(source.store);
    if (limit === undefined) this.#turns.set(source.store, (limit = pLimit(graphsPerSource)));
    return limit(work);
  }

  /** What the request's reference names now. */
  digest(request: CopyRequest): Promise<Digest> {
    return this.#of(request, () => this.#resolve(request, request.source.reference));
  }

  /** What another reference in the request's repository names now. */
  digestOf(request: CopyRequest, reference: string): Promise<Digest> {
    return this.#of(request, () => this.#resolve(request, reference));
  }

  /** The whole graph under another reference in the request's repository. */
  graph(request: CopyRequest, reference: string): Promise<ManifestNode> {
    return this.#of(request, () => this.#graph(request, reference, 'all'));
  }

  /** Reads by name: for whoever needs the manifest in any case; it tells its digest. */
  namedGraph(request: CopyRequest): Promise<ManifestNode> {
    return this.#of(request, () => this.#graph(request, request.source.reference, request.platforms));
  }

  /** Reads by digest, so that a tag that moves meanwhile cannot mix two images; once more by tag where the old one is gone already. */
  agreedGraph(request: CopyRequest, digest: Digest): Promise<ManifestNode> {
    const { reference } = request.source;
    return this.#of(request, async () => {
      try {
        return await this.#graph(request, digest, request.platforms);
      } catch (error) {
        if (isDigest(reference) || !isReplicationError(error, 'not-found')) throw error;
        return this.#graph(request, await this.#resolve(request, reference), request.platforms);
      }
    });
  }

  /** Asks for the repository's tags, which tell what referrers there are, before anybody waits for them. */
  foreseeReferrers(request: CopyRequest): void {
    void this.#tagsOf(request).catch(() => undefined);
  }

  /** What refers to these manifests of the request's repository. */
  referrers(request: CopyRequest, subjects: readonly Digest[]): Promise<readonly FoundReferrer[]> {
    const { store, repository } = request.source;
    return this.#of(request, async () =>
      findReferrers(store, repository, subjects, await this.#tagsOf(request), this.#signal),
    );
  }

  async #of<T>({ source }: CopyRequest, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw toReplicationError(error, { side: 'source', reference: placeName(source), host: source.store.name });
    }
  }

  async #resolve({ source: { store, repository } }: CopyRequest, reference: string): Promise<Digest> {
    return isDigest(reference) ? reference : (await store.resolve(repository, reference, this.#signal)).digest;
  }

  #graph(
    { source: { store, repository } }: CopyRequest,
    reference: string,
    platforms: 'all' | readonly Platform[],
  ): Promise<ManifestNode> {
    const key = `${repository} ${reference} ${platforms === 'all' ? '' : platformList(platforms)}`;
    return this.#graphs.get(store, key, () => loadGraph(store, repository, reference, platforms, this.#signal));
  }

  #tagsOf({ source: { store, repository } }: CopyRequest): Promise<ReadonlySet<string> | undefined> {
    return this.#tags.get(store, repository, () => allTags(store, repository, this.#signal));
  }
}
