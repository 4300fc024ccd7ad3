import * as z from 'zod';
import { blobsOf, inWriteOrder, loadGraph, type ManifestNode } from '../copy/graph.ts';
import { allTags, findReferrers } from '../copy/referrers.ts';
import { cutFromAnnotation } from '../copy/platform-subset.ts';
import type { SourcePlace } from '../copy/request.ts';
import { type Digest, parseDigest } from '../model/digest.ts';
import { isReplicationError } from '../model/errors.ts';
import type { LockedReferrer } from '../model/lock.ts';
import { type Descriptor, parseManifest } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { formatPlatform, Platform } from '../model/platform.ts';
import type { ReadStore } from '../model/store.ts';

/** What lies under a name: its graph of manifests, told as the lock tells it. */
export interface Contents {
  readonly root: ManifestNode;
  readonly digest: Digest;
  /** Digest of the index that this one says it was cut from. */
  readonly cutFrom: Digest | undefined;
  readonly mediaType: string;
  readonly size: number;
}

/** Reads the manifests of an image with all of its platforms; no blob is read. */
export async function readContents(place: SourcePlace, signal: AbortSignal): Promise<Contents> {
  const root = await loadGraph(place.store, place.repository, place.reference, 'all', signal);
  const { mediaType, digest } = root.content.descriptor;
  return { root, digest, cutFrom: cutFrom(root), mediaType, size: sizeOf(root) };
}

function cutFrom(root: ManifestNode): Digest | undefined {
  const { bytes, descriptor } = root.content;
  if (root.children.length === 0) return undefined;
  const digest = parseManifest(bytes, descriptor.mediaType).annotations[cutFromAnnotation];
  return digest === undefined ? undefined : parseDigest(digest);
}

/** Bytes of manifests and blobs, each once. Layers that stay at their vendor are not counted: registries need not hold them. */
function sizeOf(root: ManifestNode): number {
  const nodes = inWriteOrder(root);
  const foreign = new Set(nodes.flatMap((node) => [...node.foreign]));
  const parts = [
    ...nodes.map((node) => node.content.descriptor),
    ...blobsOf(root).filter((blob) => !foreign.has(blob.digest)),
  ];
  return parts.reduce((sum, part) => sum + part.size, 0);
}

/** Configs of images have some kB; a few that carry a long history have 100 kB. */
const maxConfigBytes = 4 * 1024 * 1024;

/**
 * Platforms in an image: as its indexes say, and as its config says where there is no index. Attestations (platform
 * `unknown/unknown`) and artifacts have none.
 */
export async function platformsIn(
  root: ManifestNode,
  place: SourcePlace,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = inWriteOrder(root).flatMap((node) => (node.children.length === 0 ? [] : entryPlatforms(node)));
  if (root.children.length === 0) found.push(...(await configPlatform(root, place, signal)));
  return [...new Set(found)].filter((text) => !text.startsWith('unknown/')).sort();
}

function entryPlatforms({ content }: ManifestNode): readonly string[] {
  const manifest = parseManifest(content.bytes, content.descriptor.mediaType);
  if (manifest.kind !== 'index') return [];
  return manifest.manifests.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]));
}

const configTypes: readonly string[] = [mediaTypes.ociConfig, 'application/vnd.docker.container.image.v1+json'];

async function configPlatform(
  { content, blobs }: ManifestNode,
  { store, repository }: SourcePlace,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const config = blobs.find(({ mediaType }) => configTypes.includes(mediaType));
  if (config === undefined || config.size > maxConfigBytes || content.descriptor.size === 0) return [];
  const text = (await readBlob(store, repository, config, signal)).toString('utf8');
  const parsed = Platform.safeParse(jsonOrNothing(text));
  return parsed.success ? [formatPlatform(parsed.data)] : [];
}

async function readBlob(
  store: ReadStore,
  repository: string,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const stream: AsyncIterable<unknown> = await store.openBlob(repository, descriptor, { signal });
  for await (const chunk of stream) chunks.push(z.instanceof(Buffer).parse(chunk));
  return Buffer.concat(chunks);
}

function jsonOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A signature over an SBOM over a signature: as deep as the copier goes. */
const maxReferrerDepth = 4;

/**
 * Signatures, attestations and SBOMs that came along: those that lie at every target and at the source. What only a target
 * has (a registry that signs by itself) is none of the source's, and would make equal inputs give different locks.
 * @param source absent for charts that were packed here
 */
export async function lockedReferrers(
  root: ManifestNode,
  targets: readonly SourcePlace[],
  source: SourcePlace | undefined,
  signal: AbortSignal,
): Promise<readonly LockedReferrer[]> {
  const [first, ...others] = onePerRepository(targets);
  if (first === undefined || source === undefined) return [];
  const tags = await allTags(first.store, first.repository, signal);
  const locked = new Map<string, LockedReferrer>();
  const collect = async (node: ManifestNode, depth: number): Promise<void> => {
    const subjects = inWriteOrder(node).map((each) => each.content.descriptor.digest);
    const found = await findReferrers(first.store, first.repository, subjects, tags, signal);
    await Promise.all(
      found.map(async ({ reference, subject }) => {
        const held = await Promise.all([source, ...others].map((place) => holds({ ...place, reference }, signal)));
        if (!held.every(Boolean) || locked.has(reference)) return;
        const contents = await readContents({ ...first, reference }, signal);
        locked.set(reference, referrerOf(reference, subject, contents));
        if (depth < maxReferrerDepth) await collect(contents.root, depth + 1);
      }),
    );
  };
  await collect(root, 0);
  return [...locked.values()].sort((a, b) => (a.reference < b.reference ? -1 : 1));
}

function referrerOf(reference: string, subject: Digest, { root, digest, mediaType, size }: Contents): LockedReferrer {
  const type = artifactTypeOf(root);
  return { reference, digest, subject, mediaType, ...(type === undefined ? {} : { artifactType: type }), size };
}

function artifactTypeOf({ content }: ManifestNode): string | undefined {
  try {
    const manifest = parseManifest(content.bytes, content.descriptor.mediaType);
    return manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config.mediaType : undefined);
  } catch (error) {
    // A manifest of a kind that we do not know is copied as it is, and says nothing of itself.
    if (isReplicationError(error, 'corrupt')) return undefined;
    throw error;
  }
}

export function onePerRepository<T extends SourcePlace>(places: readonly T[]): readonly T[] {
  return places.filter(
    (place, position) =>
      places.findIndex((other) => other.store === place.store && other.repository === place.repository) === position,
  );
}

async function holds({ store, repository, reference }: SourcePlace, signal: AbortSignal): Promise<boolean> {
  try {
    await store.resolve(repository, reference, signal);
    return true;
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return false;
    throw error;
  }
}
