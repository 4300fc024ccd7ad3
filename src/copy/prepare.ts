import pLimit, { type LimitFunction } from 'p-limit';
import { isDigest, type Digest } from '../model/digest.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { Platform } from '../model/platform.ts';
import type { ReadStore } from '../model/store.ts';
import { blobsOf, inWriteOrder, loadGraph, type ManifestNode } from './graph.ts';
import { platformList } from './platform-subset.ts';
import { allTags, findReferrers } from './referrers.ts';
import { storeMemo } from './store-memo.ts';
import { createTargetStates, type CurrentTarget, type PreparedTarget } from './target-state.ts';
import { type CopyOptions, type CopyRequest, placeName, type SourcePlace } from './request.ts';

/** One graph on its way: the artifact itself, or a referrer of it. */
export interface PreparedGraph {
  readonly source: SourcePlace;
  readonly root: ManifestNode;
  readonly targets: readonly PreparedTarget[];
}

export type Prepared =
  | { readonly kind: 'unchanged'; readonly digest: Digest }
  | {
      readonly kind: 'copy';
      readonly digest: Digest;
      readonly main: PreparedGraph;
      readonly referrers: readonly PreparedReferrer[];
    };

export interface PreparedReferrer {
  readonly graph: PreparedGraph;
  readonly subject: Digest;
  readonly reference: string;
  readonly by: 'tag' | 'referrers-api';
}

/** A signature over an SBOM over a signature …: further than this nobody signs, and a hostile source would go on for ever. */
const maxReferrerDepth = 4;
/** Referrers of one image, all levels together. */
const maxReferrers = 1_000;

/** Images of one source that are read at the same time: a few that are known soon can start while the others are read. */
const graphsPerSource = 12;

/** Everything that has to be asked before bytes move. Shared by all artifacts of a run, so that nothing is asked twice. */
export interface Preparer {
  prepare(request: CopyRequest): Promise<Prepared>;
}

export function createPreparer(requests: readonly CopyRequest[], options: CopyOptions): Preparer {
  const { signal } = options;
  const targets = createTargetStates(requests, signal);
  const shared = sharingRepositories(requests);
  const graphs = storeMemo<ManifestNode>();
  const reading = new Map<ReadStore, LimitFunction>();
  const tags = storeMemo<ReadonlySet<string> | undefined>();

  const graphOf = (
    store: ReadStore,
    repository: string,
    reference: string,
    platforms: 'all' | readonly Platform[],
  ): Promise<ManifestNode> =>
    graphs.get(store, `${repository} ${reference} ${platforms === 'all' ? '' : platformList(platforms)}`, () =>
      loadGraph(store, repository, reference, platforms, signal),
    );

  const inTurn = <T>({ source }: CopyRequest, work: () => Promise<T>): Promise<T> => {
    let limit = reading.get(source.store);
    if (limit === undefined) reading.set(source.store, (limit = pLimit(graphsPerSource)));
    return limit(work);
  };

  const tagsOf = (store: ReadStore, repository: string): Promise<ReadonlySet<string> | undefined> =>
    tags.get(store, repository, () => allTags(store, repository, signal));

  const atSource = async <T>(request: CopyRequest, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw toReplicationError(error, {
        side: 'source',
        reference: placeName(request.source),
        host: request.source.store.name,
      });
    }
  };

  const sourceDigest = async (request: CopyRequest): Promise<Digest> => {
    const { store, repository, reference } = request.source;
    if (isDigest(reference)) return reference;
    return (await store.resolve(repository, reference, signal)).digest;
  };

  /** Where no target has anything under the name, the manifest is needed in any case, and reading it tells its digest. */
  const readNamed = async (request: CopyRequest): Promise<{ readonly digest: Digest; readonly root: ManifestNode }> => {
    const { store, repository, reference } = request.source;
    if (options.referrers !== false) void tagsOf(store, repository).catch(() => undefined);
    const root = await graphOf(store, repository, reference, request.platforms);
    return { digest: root.cutFrom ?? root.content.descriptor.digest, root };
  };

  const prepareReferrers = async (
    request: CopyRequest,
    root: ManifestNode,
    seen: Set<string>,
    depth: number,
  ): Promise<PreparedReferrer[]> => {
    if (depth > maxReferrerDepth) return [];
    const { store, repository } = request.source;
    const subjects = inWriteOrder(root).map((node) => node.content.descriptor.digest);
    const found = await atSource(request, async () =>
      findReferrers(store, repository, subjects, await tagsOf(store, repository), signal),
    );
    const fresh = found.filter(({ reference }) => !seen.has(reference) && seen.add(reference));
    if (seen.size > maxReferrers) {
      throw new ReplicationError(
        'refused',
        `more than ${maxReferrers} signatures and other referrers belong to ${request.artifact}`,
        {
          side: 'source',
          reference: placeName(request.source),
          host: store.name,
          remedy: 'remove referrers that nobody needs at the source',
        },
      );
    }
    const graphsOfReferrers = await Promise.all(
      fresh.map(async ({ reference, subject, by }) => {
        const node = await atSource(request, () => graphOf(store, repository, reference, 'all'));
        const written = await Promise.all(
          request.targets.map((place) => {
            const at = { store: place.store, repository: place.repository, reference };
            return targets.prepare(at, node, { hasContent: false, repair: request.repair === true });
          }),
        );
        const own: PreparedReferrer = {
          graph: { source: { store, repository, reference }, root: node, targets: written },
          subject,
          reference,
          by,
        };
        // Referrers may have referrers (a signature over an SBOM).
        return [own, ...(await prepareReferrers(request, node, seen, depth + 1))];
      }),
    );
    return graphsOfReferrers.flat();
  };

  return {
    async prepare(request) {
      const states = await Promise.all(request.targets.map((place) => targets.current(place, request.platforms)));
      const absent = request.repair !== true && !shared.has(request) && states.every((state) => state === undefined);
      if (absent) {
        return inTurn(request, async () => {
          const named = await atSource(request, () => readNamed(request));
          return compared(request, states, named.digest, named.root);
        });
      }
      const digest = await atSource(request, () => sourceDigest(request));
      const current = request.repair !== true && states.every((state) => holds(state, digest));
      if (current) return unchanged(request, states[0]?.digest ?? digest, digest);
      return inTurn(request, async () =>
        compared(request, states, digest, await atSource(request, () => readAgreed(request, digest))),
      );
    },
  };

  /** What the targets lack of the image that the source has. */
  async function compared(
    request: CopyRequest,
    states: readonly (CurrentTarget | undefined)[],
    digest: Digest,
    root: ManifestNode,
  ): Promise<Prepared> {
    const { store, repository } = request.source;
    const wanted = root.content.descriptor.digest;
    const outdated = request.targets.filter((_, position) => {
      const state = states[position];
      return request.repair === true || !(holds(state, digest) || state?.digest === wanted);
    });
    if (outdated.length === 0) return unchanged(request, wanted, digest);
    const main: PreparedGraph = {
      source: { store, repository, reference: digest },
      root,
      targets: await Promise.all(
        outdated.map((place) =>
          targets.prepare(place, root, {
            hasContent: states[request.targets.indexOf(place)] !== undefined,
            repair: request.repair === true,
          }),
        ),
      ),
    };
    const referrers =
      options.referrers === false ? [] : await prepareReferrers({ ...request, targets: outdated }, root, new Set(), 0);
    return { kind: 'copy', digest: wanted, main, referrers };
  }

  /** An unchanged image may still lack a referrer: one that came later, or that failed when the image was copied. */
  async function unchanged(request: CopyRequest, digest: Digest, sourceDigest: Digest): Promise<Prepared> {
    const { store, repository } = request.source;
    if (options.refreshReferrers !== true || options.referrers === false || digest !== sourceDigest)
      return { kind: 'unchanged', digest };
    const found = await atSource(request, async () =>
      findReferrers(store, repository, [digest], await tagsOf(store, repository), signal),
    );
    const absent = await Promise.all(found.map((each) => lacking(request, each.reference)));
    if (found.length === 0 || !absent.includes(true)) return { kind: 'unchanged', digest };
    const root = await atSource(request, () => graphOf(store, repository, digest, 'all'));
    const main: PreparedGraph = { source: { store, repository, reference: digest }, root, targets: [] };
    return { kind: 'copy', digest, main, referrers: await prepareReferrers(request, root, new Set(), 0) };
  }

  /** Whether a target lacks a referrer, or holds another one under its tag. */
  async function lacking(request: CopyRequest, reference: string): Promise<boolean> {
    const { store, repository } = request.source;
    const wanted = isDigest(reference)
      ? reference
      : (await atSource(request, () => store.resolve(repository, reference, signal))).digest;
    const held = await Promise.all(request.targets.map((place) => targets.current({ ...place, reference }, 'all')));
    return held.some((each) => each?.digest !== wanted);
  }

  /** Reads by digest, so that a tag that moves meanwhile cannot mix two images; once more by tag where the old one is gone already. */
  async function readAgreed(request: CopyRequest, digest: Digest): Promise<ManifestNode> {
    const { store, repository, reference } = request.source;
    try {
      return await graphOf(store, repository, digest, request.platforms);
    } catch (error) {
      if (isDigest(reference) || !isReplicationError(error, 'not-found')) throw error;
      return graphOf(store, repository, (await store.resolve(repository, reference, signal)).digest, request.platforms);
    }
  }
}

/** Whether a target has what the source's digest names, whole or cut to the wanted platforms. */
function holds(state: CurrentTarget | undefined, digest: Digest): boolean {
  return state !== undefined && (state.digest === digest || state.cutFrom === digest);
}

/** Requests whose source repository others read from, too: tags of one digest are best asked for by HEAD, and the digest read once. */
function sharingRepositories(requests: readonly CopyRequest[]): ReadonlySet<CopyRequest> {
  const first = new Map<string, CopyRequest>();
  const sharing = new Set<CopyRequest>();
  for (const request of requests) {
    const name = `${request.source.store.name}/${request.source.repository}`;
    const other = first.get(name);
    if (other === undefined) first.set(name, request);
    else sharing.add(other).add(request);
  }
  return sharing;
}

/** All blobs of a prepared graph, for accounting. */
export function graphBlobs(graph: PreparedGraph): readonly Descriptor[] {
  return blobsOf(graph.root);
}
