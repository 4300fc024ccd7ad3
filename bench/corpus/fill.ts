import pLimit from 'p-limit';
import type { RegistryApi } from '../registry/api.ts';
import { type BlobFacts, type BuiltImage, configBytes, indexOf, manifestOf } from './image.ts';
import { blobBytes, layerBytes } from './layer-bytes.ts';
import type { CorpusPlan, ImagePlan, LayerPlan, PlatformPlan } from './plan.ts';

/** An image that is in the source registry, in both of its versions; its tag may name either. */
export interface FilledImage {
  readonly repository: string;
  readonly tag: string;
  readonly first: BuiltImage;
  readonly moved: BuiltImage | undefined;
}

export type Version = 'first' | 'moved';

/** Uploading more at a time only makes the registry's disk seek. */
const uploadsAtOnce = 4;

/** Makes every layer once, puts it into every repository that uses it, and writes all manifests by their digests. */
export async function fillRegistry(plan: CorpusPlan, registry: RegistryApi): Promise<readonly FilledImage[]> {
  const limit = pLimit(uploadsAtOnce);
  const blobs = blobPlacer(registry);
  return limit.map(plan.images, (image) => fillImage(image, registry, blobs));
}

/** Lets the tags of all images name one of their versions; those that do not move keep the first. */
export async function pointTags(
  images: readonly FilledImage[],
  version: Version,
  registry: RegistryApi,
): Promise<void> {
  const limit = pLimit(uploadsAtOnce);
  await limit.map(images, ({ repository, tag, ...image }) =>
    registry.putManifest(repository, tag, (image[version] ?? image.first).top),
  );
}

async function fillImage(plan: ImagePlan, registry: RegistryApi, place: PlaceBlob): Promise<FilledImage> {
  const { repository, tag } = plan;
  const build = async (platforms: readonly PlatformPlan[]): Promise<BuiltImage> => {
    const built = await buildImage(platforms, (content, bytes, size) => place(repository, content, bytes, size));
    for (const manifest of [...built.children, built.top])
      await registry.putManifest(repository, manifest.digest, manifest);
    return built;
  };
  const first = await build(plan.first);
  const moved = plan.moved && (await build(plan.moved));
  return { repository, tag, first, moved };
}

type PutBlob = (content: string, bytes: () => AsyncIterable<Buffer>, size: number) => Promise<BlobFacts>;

async function buildImage(platforms: readonly PlatformPlan[], put: PutBlob): Promise<BuiltImage> {
  const blobs = new Map<string, BlobFacts>();
  const children = [];
  for (const platform of platforms) {
    const layers: BlobFacts[] = [];
    for (const layer of platform.layers) layers.push(await putLayer(layer, put));
    const bytes = configBytes(platform);
    const config = await put(`${platform.config} config`, () => once(bytes), bytes.length);
    for (const blob of [config, ...layers]) blobs.set(blob.digest, blob);
    children.push({ architecture: platform.architecture, manifest: manifestOf(config, layers) });
  }
  const [only, ...more] = children;
  if (only !== undefined && more.length === 0) return { top: only.manifest, children: [], blobs: [...blobs.values()] };
  return { top: indexOf(children), children: children.map(({ manifest }) => manifest), blobs: [...blobs.values()] };
}

function putLayer(layer: LayerPlan, put: PutBlob): Promise<BlobFacts> {
  return put(layer.content, () => layerBytes(layer), blobBytes(layer));
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

type PlaceBlob = (repository: string, ...blob: Parameters<PutBlob>) => Promise<BlobFacts>;

/** Uploads content when it is first asked for, and mounts it from there into other repositories. */
function blobPlacer(registry: RegistryApi): PlaceBlob {
  const uploaded = new Map<string, { readonly repository: string; readonly blob: Promise<BlobFacts> }>();
  const present = new Set<string>();
  return async (repository, content, bytes, size) => {
    const known = uploaded.get(content);
    const blob = known?.blob ?? registry.putBlob(repository, bytes(), size);
    if (known === undefined) uploaded.set(content, { repository, blob });
    const facts = await blob;
    const name = `${repository}@${facts.digest}`;
    if (known !== undefined && known.repository !== repository && !present.has(name))
      await registry.mountBlob(repository, facts.digest, known.repository);
    present.add(name);
    return facts;
  };
}
