import type { Digest } from '../model/digest.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { type Descriptor, type Manifest, type ManifestContent, parseManifest } from '../model/manifest.ts';
import { isForeignLayerType, isImageManifestType, isIndexType } from '../model/media-types.ts';
import type { Platform } from '../model/platform.ts';
import type { ReadStore } from '../model/store.ts';
import { cutIndex } from './platform-subset.ts';

/** A manifest with everything below it. Children come before their parent when written. */
export interface ManifestNode {
  readonly content: ManifestContent;
  readonly children: readonly ManifestNode[];
  /** Blobs that this manifest itself refers to, each once. */
  readonly blobs: readonly Descriptor[];
  /** Those of them that need not be in a registry; their bytes come along where they can be had. */
  readonly foreign: ReadonlySet<Digest>;
  readonly subject: Descriptor | undefined;
  /** Set at the top when platforms were cut out of it: the digest of what it was. */
  readonly cutFrom?: Digest;
}

/** Indexes nested deeper than this are refused: no real image comes near, and a hostile one must end somewhere. */
const maxDepth = 8;
/** More manifests than this below one tag are refused for the same reason. */
const maxManifests = 2_000;

/**
 * Reads the whole graph below a manifest. Each digest is read once.
 * @param platforms cuts the top index (not nested ones) down to these platforms; an image without index stays whole
 * @throws ReplicationError of side `source`
 */
export async function loadGraph(
  store: ReadStore,
  repository: string,
  reference: string,
  platforms: 'all' | readonly Platform[],
  signal: AbortSignal,
): Promise<ManifestNode> {
  const seen = new Map<Digest, Promise<ManifestNode | 'blob'>>();

  const once = (entry: Descriptor, depth: number): Promise<ManifestNode | 'blob'> => {
    const known = seen.get(entry.digest);
    if (known !== undefined) return known;
    const loading = child(entry, depth);
    seen.set(entry.digest, loading);
    return loading;
  };

  const node = async (content: ManifestContent, depth: number): Promise<ManifestNode> => {
    const manifest = understood(content);
    if (manifest?.kind === 'index') {
      // Checked before anything is read: a hostile index must not start thousands of requests.
      const fresh = new Set(manifest.manifests.map((entry) => entry.digest).filter((digest) => !seen.has(digest)));
      if (depth >= maxDepth || seen.size + fresh.size > maxManifests) throw tooLarge(reference);
      const children = await Promise.all(manifest.manifests.map((entry) => once(entry, depth + 1)));
      return {
        content,
        children: [...new Set(children.filter((each) => each !== 'blob'))],
        blobs: unique(manifest.manifests.filter((_, position) => children[position] === 'blob')),
        foreign: new Set(),
        subject: manifest.subject,
      };
    }
    const layers = manifest === undefined ? [] : manifest.layers;
    return {
      content,
      children: [],
      blobs: manifest === undefined ? [] : unique([manifest.config, ...layers]),
      foreign: new Set(layers.filter((layer) => isForeignLayerType(layer.mediaType)).map((layer) => layer.digest)),
      subject: manifest?.subject,
    };
  };

  const child = async (entry: Descriptor, depth: number): Promise<ManifestNode | 'blob'> => {
    const content = await readChild(store, repository, entry, signal);
    return content === 'blob' ? content : node(content, depth);
  };

  const top = await store.readManifest(repository, reference, signal);
  const manifest = understood(top);
  const cut = platforms !== 'all' && manifest?.kind === 'index' ? cutIndex(top, manifest, platforms) : top;
  const root = await node(cut, 0);
  return cut === top ? root : { ...root, cutFrom: top.descriptor.digest };
}

function tooLarge(reference: string): ReplicationError {
  return new ReplicationError(
    'refused',
    `the index ${reference} holds more than ${maxManifests} manifests, or nests deeper than ${maxDepth} levels`,
    { side: 'source', remedy: 'no real image is built like that; check who serves it' },
  );
}

/** Reads an index entry. What is of no known manifest type may be a blob (OCI image-spec v1.1 image-index.md lets an index refer to anything). */
async function readChild(
  store: ReadStore,
  repository: string,
  entry: Descriptor,
  signal: AbortSignal,
): Promise<ManifestContent | 'blob'> {
  try {
    return await store.readManifest(repository, entry.digest, signal);
  } catch (error) {
    if (!isManifestType(entry.mediaType) && isReplicationError(error, 'not-found')) return 'blob';
    throw error;
  }
}

function isManifestType(mediaType: string): boolean {
  return isIndexType(mediaType) || isImageManifestType(mediaType);
}

/** `undefined` for a manifest of an unknown type: it is copied as it is, with nothing below it that we could know of. */
function understood(content: ManifestContent): Manifest | undefined {
  try {
    return parseManifest(content.bytes, content.descriptor.mediaType);
  } catch (error) {
    if (isReplicationError(error, 'corrupt') && !isManifestType(content.descriptor.mediaType)) return undefined;
    throw error;
  }
}

function unique(descriptors: readonly Descriptor[]): readonly Descriptor[] {
  return [...new Map(descriptors.map((descriptor) => [descriptor.digest, descriptor])).values()];
}

/** All nodes below and with this one, children first, each digest once. */
export function inWriteOrder(root: ManifestNode): readonly ManifestNode[] {
  const ordered = new Map<Digest, ManifestNode>();
  const visit = (node: ManifestNode): void => {
    if (ordered.has(node.content.descriptor.digest)) return;
    for (const below of node.children) visit(below);
    ordered.set(node.content.descriptor.digest, node);
  };
  visit(root);
  return [...ordered.values()];
}

/** All blobs of a graph, each once. */
export function blobsOf(root: ManifestNode): readonly Descriptor[] {
  return unique(inWriteOrder(root).flatMap((node) => node.blobs));
}
