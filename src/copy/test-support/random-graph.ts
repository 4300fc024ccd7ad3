import fc from 'fast-check';
import { type Digest, digestHex, digestOf } from '../../model/digest.ts';
import type { Descriptor, ManifestContent } from '../../model/manifest.ts';
import { mediaTypes } from '../../model/media-types.ts';
import type { WriteStore } from '../../model/store.ts';
import { bytesFrom } from './random.ts';

/** An image by the numbers of its layers, or an index over others. Small numbers, so that much is shared. */
export type Shape =
  | { readonly kind: 'image'; readonly config: number; readonly layers: readonly number[] }
  | { readonly kind: 'index'; readonly children: readonly Shape[] };

/** How many different layers there are. */
const layerCount = 7;

const image = fc.record({
  kind: fc.constant('image' as const),
  config: fc.nat({ max: 4 }),
  // The same layer twice in one image is legal, and not rare (empty layers).
  layers: fc.array(fc.nat({ max: layerCount - 1 }), { minLength: 1, maxLength: 5 }),
});

function indexOver(children: fc.Arbitrary<Shape>): fc.Arbitrary<Shape> {
  return fc.record({
    kind: fc.constant('index' as const),
    children: fc.array(children, { minLength: 1, maxLength: 2 }),
  });
}

export const anyShape: fc.Arbitrary<Shape> = fc.oneof(
  { arbitrary: image, weight: 4 },
  { arbitrary: indexOver(image), weight: 4 },
  { arbitrary: indexOver(fc.oneof(image, indexOver(image))), weight: 3 },
  { arbitrary: indexOver(indexOver(indexOver(image))), weight: 1 },
  { arbitrary: fc.constant<Shape>({ kind: 'index', children: [] }), weight: 1 },
);

/** Which of a graph's manifests it is about (a number, in any order of them), and how it is found. */
export interface ReferrerShape {
  readonly about: number;
  readonly layers: readonly number[];
  readonly by: 'subject' | 'cosign';
}

export const anyReferrer: fc.Arbitrary<ReferrerShape> = fc.record({
  about: fc.nat({ max: 5 }),
  layers: fc.array(fc.nat({ max: layerCount - 1 }), { maxLength: 2 }),
  by: fc.constantFrom('subject', 'cosign'),
});

const never = new AbortController().signal;

/**
 * Content of layer `number`: none at all, some bytes, some more, and two that are above the 1 MiB up to which blobs are
 * held in memory (when `large`).
 */
function layerBytes(number: number, large: boolean): Buffer {
  const size = [0, 1, 800, 5_000, 70_000, ...(large ? [1_100_000, 1_300_000] : [900, 1_000])][number] ?? 0;
  return bytesFrom(number, size);
}

async function putBlob(store: WriteStore, repository: string, bytes: Buffer, mediaType: string): Promise<Descriptor> {
  const descriptor: Descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  if ((await store.missingBlobs(repository, [descriptor], never)).size === 0) return descriptor;
  const start = await store.startUpload(repository, descriptor.digest, undefined, never);
  if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, bytes, never);
  return descriptor;
}

async function putManifest(
  store: WriteStore,
  repository: string,
  value: object & { readonly mediaType: string },
  tag?: string,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(value));
  const descriptor: Descriptor = { mediaType: value.mediaType, digest: digestOf(bytes), size: bytes.length };
  const content: ManifestContent = { descriptor, bytes };
  await store.writeManifest(repository, tag ?? descriptor.digest, content, never);
  return descriptor;
}

async function putImage(
  store: WriteStore,
  repository: string,
  shape: { readonly config: number; readonly layers: readonly number[] },
  large: boolean,
  more: { readonly tag?: string | undefined; readonly subject?: Descriptor | undefined } = {},
): Promise<Descriptor> {
  const config = await putBlob(store, repository, Buffer.from(`{"config":${shape.config}}`), mediaTypes.ociConfig);
  const layers: Descriptor[] = [];
  for (const number of shape.layers)
    layers.push(await putBlob(store, repository, layerBytes(number, large), mediaTypes.ociLayerGzip));
  const subject = more.subject === undefined ? {} : { subject: more.subject };
  const value = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, ...subject, config, layers };
  return putManifest(store, repository, value, more.tag);
}

/** Writes a graph, and returns the descriptors of all its manifests, the top one last. */
export async function putShape(
  store: WriteStore,
  repository: string,
  shape: Shape,
  large: boolean,
  tag?: string,
): Promise<readonly Descriptor[]> {
  if (shape.kind === 'image') return [await putImage(store, repository, shape, large, { tag })];
  const below: (readonly Descriptor[])[] = [];
  for (const child of shape.children) below.push(await putShape(store, repository, child, large));
  const manifests = below.flatMap((each) => each.slice(-1));
  const value = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  return [...below.flat(), await putManifest(store, repository, value, tag)];
}

/** Writes something that refers to a manifest; returns the tag or digest under which it has to arrive. */
export async function putReferrer(
  store: WriteStore,
  repository: string,
  about: Descriptor,
  shape: ReferrerShape,
  large: boolean,
): Promise<{ readonly reference: string; readonly descriptor: Descriptor }> {
  const content = { config: 0, layers: shape.layers };
  if (shape.by === 'subject') {
    const { mediaType, digest, size } = about;
    const descriptor = await putImage(store, repository, content, large, { subject: { mediaType, digest, size } });
    return { reference: descriptor.digest, descriptor };
  }
  const reference = cosignTag(about.digest);
  // The same everywhere: two signatures of one image under the one tag that they have would be a conflict of the sources.
  const signature = { config: 0, layers: [1] };
  return { reference, descriptor: await putImage(store, repository, signature, large, { tag: reference }) };
}

export function cosignTag(digest: Digest): string {
  return `sha256-${digestHex(digest)}.sig`;
}
