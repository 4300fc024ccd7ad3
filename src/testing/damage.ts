import { type Digest, digestAlgorithm, digestHex, digestOf, hashFor } from '../model/digest.ts';
import { isForeignLayerType } from '../model/media-types.ts';
import type { BlobStorage } from './blob-storage.ts';
import type { RegistryState, Repository, StoredManifest } from './registry-state.ts';

/**
 * What is wrong in a registry's storage, one line for each finding: blobs and manifests whose bytes do not have their
 * digest, manifests that refer to what their repository does not hold, blobs of another size than their descriptor says,
 * tags of nothing. Reads every byte, and trusts nothing that a PUT has checked before.
 */
export async function damageOf(state: RegistryState, storage: BlobStorage): Promise<readonly string[]> {
  const repositories = state.names.flatMap((name) => state.get(name) ?? []);
  const inRepositories = repositories.flatMap((repository) => damagedManifests(repository, storage));
  const blobs = new Set(repositories.flatMap((repository) => [...repository.blobs]));
  const inBlobs: string[] = [];
  for (const digest of blobs) inBlobs.push(...(await damagedBlob(digest, storage)));
  return [...inRepositories, ...inBlobs];
}

function damagedManifests(repository: Repository, storage: BlobStorage): readonly string[] {
  const { name, manifests, tags } = repository;
  const untagged = [...tags].filter(([, digest]) => !manifests.has(digest));
  return [
    ...untagged.map(([tag, digest]) => `${name}:${tag} names ${digest}, which is not there`),
    ...[...manifests.values()].flatMap((stored) => [
      ...(digestOf(stored.bytes, digestAlgorithm(stored.digest)) === stored.digest
        ? []
        : [`${name}@${stored.digest} has other bytes`]),
      ...danglingReferences(repository, stored, storage),
    ]),
  ];
}

function danglingReferences(repository: Repository, stored: StoredManifest, storage: BlobStorage): readonly string[] {
  const { view } = stored;
  const where = `${repository.name}@${stored.digest}`;
  if (view?.kind === 'index') {
    return view.manifests
      .filter(({ digest }) => !repository.manifests.has(digest) && !repository.blobs.has(digest))
      .map(({ digest }) => `${where} names the manifest ${digest}, which is not there`);
  }
  if (view === undefined) return [];
  return [view.config, ...view.layers].flatMap(({ digest, size, mediaType }) => {
    const held = repository.blobs.has(digest) ? storage.size(digest) : undefined;
    if (held === size || (held === undefined && isForeignLayerType(mediaType))) return [];
    return [
      `${where} needs the blob ${digest} of ${size} bytes, ${held === undefined ? 'none is' : `${held} are`} there`,
    ];
  });
}

async function damagedBlob(digest: Digest, storage: BlobStorage): Promise<readonly string[]> {
  const size = storage.size(digest);
  if (size === undefined) return [`the bytes of blob ${digest} are gone`];
  const hash = hashFor(digest);
  if (size > 0) for await (const chunk of storage.open(digest, 0, size - 1)) hash.update(chunk as Buffer);
  return hash.digest('hex') === digestHex(digest) ? [] : [`the blob ${digest} has other bytes`];
}
