import { type Digest, isDigest } from '../model/digest.ts';
import { isReplicationError, toReplicationError } from '../model/errors.ts';
import { type Descriptor, parseManifest } from '../model/manifest.ts';
import { isIndexType } from '../model/media-types.ts';
import type { WriteStore } from '../model/store.ts';
import { inWriteOrder, type ManifestNode } from './graph.ts';
import { cutFromAnnotation, cutPlatformsAnnotation, platformList } from './platform-subset.ts';
import { type CopyRequest, placeName, type TargetPlace } from './request.ts';
import { storeMemo } from './store-memo.ts';

/** A graph that has to be written to a repository under a reference, with what is known about the repository. */
export interface PreparedTarget {
  readonly place: TargetPlace;
  /** Digests of manifests that the repository holds already, with everything below them. */
  readonly skip: ReadonlySet<string>;
  readonly blobs: readonly PreparedBlob[];
}

export interface PreparedBlob {
  readonly descriptor: Descriptor;
  /** Certainly not there. */
  readonly missing: boolean;
  readonly foreign: boolean;
}

export interface CurrentTarget {
  readonly digest: Digest;
  readonly cutFrom: string | undefined;
}

/** What target repositories hold, asked once and in as few requests as the stores allow. Errors are of side `target`. */
export interface TargetStates {
  /** What the target's reference names now; `undefined` when nothing. */
  current(place: TargetPlace, platforms: CopyRequest['platforms']): Promise<CurrentTarget | undefined>;
  /** Makes sure of the repository, and tells what of a graph it lacks. */
  prepare(
    place: TargetPlace,
    root: ManifestNode,
    known: { readonly hasContent: boolean; readonly repair: boolean },
  ): Promise<PreparedTarget>;
}

export function createTargetStates(requests: readonly CopyRequest[], signal: AbortSignal): TargetStates {
  const wantedTags = tagsByRepository(requests);
  const listings = storeMemo<ReadonlyMap<string, Digest> | undefined>();
  const repositories = storeMemo<'created' | 'existing'>();

  const ensure = (store: WriteStore, repository: string): Promise<'created' | 'existing'> =>
    repositories.get(store, repository, () => store.ensureRepository(repository, signal));

  /** Several tags of one repository are asked for together, where the store can. */
  const listedTags = ({
    store,
    repository,
    reference,
  }: TargetPlace): Promise<ReadonlyMap<string, Digest> | undefined> => {
    const tags = wantedTags.get(store)?.get(repository);
    if (store.tagDigests === undefined || tags === undefined || tags.size < 2 || !tags.has(reference))
      return Promise.resolve(undefined);
    return listings.get(store, repository, async () => store.tagDigests?.(repository, [...tags], signal));
  };

  /** What the target's reference names now; `undefined` when nothing. */
  const current = async (
    place: TargetPlace,
    platforms: CopyRequest['platforms'],
  ): Promise<CurrentTarget | undefined> => {
    try {
      if (platforms === 'all') {
        const listed = await listedTags(place);
        if (listed === undefined)
          return {
            digest: (await place.store.resolve(place.repository, place.reference, signal)).digest,
            cutFrom: undefined,
          };
        const digest = listed.get(place.reference);
        return digest === undefined ? undefined : { digest, cutFrom: undefined };
      }
      // A subset is recognised by what its index says it was cut from: one request, and none for the source's manifest.
      const content = await place.store.readManifest(place.repository, place.reference, signal);
      if (!isIndexType(content.descriptor.mediaType)) return { digest: content.descriptor.digest, cutFrom: undefined };
      const { annotations } = parseManifest(content.bytes, content.descriptor.mediaType);
      const cutFrom =
        annotations[cutPlatformsAnnotation] === platformList(platforms) ? annotations[cutFromAnnotation] : undefined;
      return { digest: content.descriptor.digest, cutFrom };
    } catch (error) {
      if (isReplicationError(error, 'not-found')) return undefined;
      throw toReplicationError(error, { side: 'target', reference: placeName(place), host: place.store.name });
    }
  };

  /** Manifests below the root that a repository with content holds already: asking is cheaper than ECR's PutImage budget of 10/s. */
  const presentChildren = async (place: TargetPlace, root: ManifestNode): Promise<Set<string>> => {
    const below = inWriteOrder(root).filter((node) => node !== root);
    const present = await Promise.all(
      below.map(async ({ content }) => {
        try {
          await place.store.resolve(place.repository, content.descriptor.digest, signal);
          return true;
        } catch (error) {
          if (isReplicationError(error, 'not-found')) return false;
          throw error;
        }
      }),
    );
    return new Set(below.filter((_, position) => present[position]).map((node) => node.content.descriptor.digest));
  };

  const prepare = async (
    place: TargetPlace,
    root: ManifestNode,
    known: { readonly hasContent: boolean; readonly repair: boolean },
  ): Promise<PreparedTarget> => {
    try {
      const state = await ensure(place.store, place.repository);
      const skip =
        state === 'existing' && known.hasContent && !known.repair
          ? await presentChildren(place, root)
          : new Set<string>();
      const wanted = [
        ...new Map(
          inWriteOrder(root).flatMap((node) =>
            skip.has(node.content.descriptor.digest) ? [] : node.blobs.map((blob) => [blob.digest, blob] as const),
          ),
        ).values(),
      ];
      const foreign = new Set(inWriteOrder(root).flatMap((node) => [...node.foreign]));
      // A repair asks whatever was said when the repository was made: it was filled since.
      const ask = known.repair || (state === 'existing' && place.store.batchedExistence === true);
      const missing = ask ? await place.store.missingBlobs(place.repository, wanted, signal) : undefined;
      const blobs = wanted.flatMap((descriptor): PreparedBlob[] => {
        if (missing !== undefined && !missing.has(descriptor.digest)) return [];
        return [
          {
            descriptor,
            missing: missing !== undefined || state === 'created',
            foreign: foreign.has(descriptor.digest),
          },
        ];
      });
      return { place, skip, blobs };
    } catch (error) {
      throw toReplicationError(error, { side: 'target', reference: placeName(place), host: place.store.name });
    }
  };

  return { current, prepare };
}

/** The tags of each target repository that a run is about. */
function tagsByRepository(requests: readonly CopyRequest[]): ReadonlyMap<WriteStore, Map<string, Set<string>>> {
  const stores = new Map<WriteStore, Map<string, Set<string>>>();
  for (const { store, repository, reference } of requests.flatMap((request) => request.targets)) {
    if (isDigest(reference)) continue;
    const repositories = stores.get(store) ?? new Map<string, Set<string>>();
    stores.set(store, repositories);
    repositories.set(repository, (repositories.get(repository) ?? new Set()).add(reference));
  }
  return stores;
}
