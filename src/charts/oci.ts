import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { digestOf } from '../model/digest.ts';
import { type Descriptor, type ImageManifest, type ManifestContent, parseManifest } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { isRepository } from '../model/reference.ts';
import type { ReadStore } from '../model/store.ts';
import { versionNotFound } from './repository.ts';
import { chooseVersion, isExactVersion, tagOfVersion, versionOfTag } from './version.ts';

/** Chart layers of helm 3.0 to 3.6 (helm pkg/registry/constants.go, `LegacyChartLayerMediaType`). */
const legacyChartLayer = 'application/tar+gzip';
const maxChartBytes = 64 * 1024 * 1024;

/** A chart found in a registry: the manifest exactly as it lies there, and its parts. */
export interface OciChart {
  readonly registry: string;
  readonly repository: string;
  /** Tag that the version stands for ('+' is '_'). */
  readonly tag: string;
  readonly version: string;
  /** What the tag names: a helm manifest, or an index with one in it. Its bytes are what gets copied. */
  readonly content: ManifestContent;
  readonly chartLayer: Descriptor;
  readonly provenanceLayer: Descriptor | undefined;
}

/** Splits `oci://host[:port]/path`. @throws ReplicationError `configuration` */
function parseOciRepository(repository: string): { readonly registry: string; readonly path: string } {
  const match = /^oci:\/\/([^/@\s]+)\/(.+?)\/*$/.exec(repository);
  if (match === null || !isRepository(match[2] ?? '')) {
    throw new ReplicationError('configuration', `${JSON.stringify(repository)} is not an OCI chart repository`, {
      remedy: 'write oci://host[:port]/path, without user, tag or query',
    });
  }
  return { registry: match[1] ?? '', path: match[2] ?? '' };
}

/**
 * Finds a chart version in an OCI registry. `oci://host/path` is the parent of the chart, as with `helm push`; a path
 * that already ends in the chart's name is also tried as the chart itself, which is how `helm pull oci://…` names it.
 * An exact version is asked for by its tag; anything else (ranges, `v1.2.3` tagged `1.2.3`) is chosen from the tags.
 * @throws ReplicationError `not-found` that says which versions there are, `unsupported` when it is no chart
 */
export async function findOciChart(
  storeOf: (registry: string) => ReadStore,
  wanted: { readonly name: string; readonly repository: string; readonly version: string },
  signal: AbortSignal,
): Promise<OciChart> {
  const { registry, path } = parseOciRepository(wanted.repository);
  const store = storeOf(registry);
  const inside = `${path}/${wanted.name}`;
  const candidates = path.endsWith(`/${wanted.name}`) || path === wanted.name ? [path, inside] : [inside];
  let first: unknown;
  for (const repository of candidates) {
    try {
      return await findIn(store, registry, repository, wanted, signal);
    } catch (error) {
      // Registries such as ghcr.io answer 401 or 403 for repositories that do not exist.
      if (!isReplicationError(error, 'not-found', 'unauthorized', 'denied')) throw error;
      first ??= error;
    }
  }
  throw first;
}

async function findIn(
  store: ReadStore,
  registry: string,
  repository: string,
  wanted: { readonly name: string; readonly version: string },
  signal: AbortSignal,
): Promise<OciChart> {
  let tag = isExactVersion(wanted.version) ? tagOfVersion(wanted.version) : undefined;
  let content = tag === undefined ? undefined : await readIfThere(store, repository, tag, signal);
  if (content === undefined) {
    const tags = await store.listTags(repository, signal);
    const versions = tags.map(versionOfTag);
    const chosen = chooseVersion(versions, wanted.version);
    if (chosen === undefined) {
      throw versionNotFound(wanted.name, wanted.version, versions, `oci://${registry}/${repository}`, {
        side: 'source',
        reference: `${registry}/${repository}:${tagOfVersion(wanted.version)}`,
        host: registry,
      });
    }
    tag = tagOfVersion(chosen);
    content = await store.readManifest(repository, tag, signal);
  }
  const found = tag ?? tagOfVersion(wanted.version);
  const manifest = await helmManifest(store, repository, content, `${registry}/${repository}:${found}`, signal);
  return {
    registry,
    repository,
    tag: found,
    version: versionOfTag(found),
    content,
    ...chartLayers(manifest, `${registry}/${repository}:${found}`),
  };
}

/** `undefined` when the tag is not there. A repository that is missing altogether shows when its tags are listed. */
async function readIfThere(
  store: ReadStore,
  repository: string,
  tag: string,
  signal: AbortSignal,
): Promise<ManifestContent | undefined> {
  try {
    return await store.readManifest(repository, tag, signal);
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** The chart's manifest: the document itself, or the one helm manifest in an index (helm 4 reads those as well). */
async function helmManifest(
  store: ReadStore,
  repository: string,
  content: ManifestContent,
  reference: string,
  signal: AbortSignal,
): Promise<ImageManifest> {
  const manifest = parseManifest(content.bytes, content.descriptor.mediaType);
  if (manifest.kind === 'image') {
    if (manifest.config.mediaType === mediaTypes.helmConfig) return manifest;
    throw notAChart(reference, `its config is ${manifest.config.mediaType}`);
  }
  const children = manifest.manifests.filter(
    ({ artifactType }) => artifactType === undefined || artifactType === mediaTypes.helmConfig,
  );
  for (const child of children.slice(0, 20)) {
    const { bytes, descriptor } = await store.readManifest(repository, child.digest, signal);
    const inner = parseManifest(bytes, descriptor.mediaType);
    if (inner.kind === 'image' && inner.config.mediaType === mediaTypes.helmConfig) return inner;
  }
  throw notAChart(reference, 'none of the manifests in its index is one');
}

/** The layer with the archive and, where there is one, the one with its provenance file. */
export function chartLayers(
  manifest: ImageManifest,
  reference: string,
): { readonly chartLayer: Descriptor; readonly provenanceLayer: Descriptor | undefined } {
  const chartLayer = manifest.layers.find(
    ({ mediaType }) => mediaType === mediaTypes.helmChart || mediaType === legacyChartLayer,
  );
  if (chartLayer === undefined) throw notAChart(reference, 'it has no chart layer');
  const provenanceLayer = manifest.layers.find(({ mediaType }) => mediaType === mediaTypes.helmProvenance);
  return { chartLayer, provenanceLayer };
}

function notAChart(reference: string, why: string): ReplicationError {
  return new ReplicationError('unsupported', `${reference} is not a Helm chart: ${why}`, {
    reference,
    remedy: 'charts are pushed by "helm push"; list images under additional_images',
  });
}

/** Reads one layer whole, verified. @throws ReplicationError `refused` when it is larger than 64 MiB, `corrupt` */
export async function readLayer(
  store: ReadStore,
  repository: string,
  layer: Descriptor,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const reference = `${store.name}/${repository}@${layer.digest}`;
  if (layer.size > maxChartBytes) {
    throw new ReplicationError(
      'refused',
      `the chart layer ${reference} has ${layer.size} bytes (at most ${maxChartBytes})`,
    );
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of (await store.openBlob(repository, layer, { signal })) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > layer.size) break;
  }
  const bytes = Buffer.concat(chunks);
  const algorithm = layer.digest.startsWith('sha512:') ? 'sha512' : 'sha256';
  if (size !== layer.size || digestOf(bytes, algorithm) !== layer.digest) {
    throw new ReplicationError('corrupt', `the chart layer ${reference} is not what its manifest says`, {
      side: 'source',
      reference,
      host: store.name,
      digest: layer.digest,
    });
  }
  return bytes;
}
