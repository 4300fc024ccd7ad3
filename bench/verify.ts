import pLimit from 'p-limit';
import { digestOf } from '../src/model/digest.ts';
import type { FilledImage, Version } from './corpus/fill.ts';
import type { BuiltImage } from './corpus/image.ts';
import type { RegistryApi } from './registry/api.ts';

/** What is not at the target as it should be. All zero: the copy is complete. */
export interface Lacking {
  /** Tags that are absent or name something else. */
  tags: number;
  manifests: number;
  /** Blobs that are absent from a repository, or of another size. */
  blobs: number;
  /** Blobs whose bytes are not those of their digest. */
  corrupt: number;
}

const requestsAtOnce = 8;

/**
 * Asks the target for every tag, manifest and blob of every repository, and not through the relay.
 * @param hashBlobs also reads every unique blob and hashes it
 */
export async function verifyTarget(
  images: readonly FilledImage[],
  version: Version,
  target: RegistryApi,
  hashBlobs: boolean,
): Promise<Lacking> {
  const limit = pLimit(requestsAtOnce);
  const lacking: Lacking = { tags: 0, manifests: 0, blobs: 0, corrupt: 0 };
  const blobs = new Map<string, () => Promise<void>>();
  await limit.map(images, async ({ repository, tag, ...image }) => {
    const wanted = image[version] ?? image.first;
    await checkManifests(target, repository, tag, wanted, lacking);
    for (const { digest, size } of wanted.blobs) {
      const found = await target.blobSize(repository, digest);
      if (found !== size) lacking.blobs += 1;
      else
        blobs.set(digest, async () => {
          if ((await target.blobDigest(repository, digest)) !== digest) lacking.corrupt += 1;
        });
    }
  });
  if (hashBlobs) await limit.map([...blobs.values()], (check) => check());
  return lacking;
}

async function checkManifests(
  target: RegistryApi,
  repository: string,
  tag: string,
  wanted: BuiltImage,
  lacking: Lacking,
): Promise<void> {
  const top = await target.manifest(repository, tag);
  if (top === undefined || digestOf(top) !== wanted.top.digest) lacking.tags += 1;
  for (const { digest } of wanted.children) {
    const child = await target.manifest(repository, digest);
    if (child === undefined || digestOf(child) !== digest) lacking.manifests += 1;
  }
}

export function isComplete(lacking: Lacking): boolean {
  return lacking.tags + lacking.manifests + lacking.blobs + lacking.corrupt === 0;
}

/** `2 tags, 1 blob` */
export function lackingText(lacking: Lacking): string {
  const part = (count: number, noun: string): readonly string[] =>
    count === 0 ? [] : [`${count} ${noun}${count === 1 ? '' : 's'}`];
  return [
    ...part(lacking.tags, 'tag'),
    ...part(lacking.manifests, 'manifest'),
    ...part(lacking.blobs, 'blob'),
    ...part(lacking.corrupt, 'corrupt blob'),
  ].join(', ');
}
