import { type Digest, digestHex, digestOf } from '../model/digest.ts';
import type { Descriptor, ManifestContent } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { formatPlatform, parsePlatform, type Platform } from '../model/platform.ts';
import { baseLayer, type Format, type Layer, tarLayer } from './image-layers.ts';
import type { SyntheticContent } from './synthetic.ts';

/** An image as registries hold it. Manifests stand in the order in which they may be pushed: children first. */
export interface ImageContent {
  /** Of the topmost manifest: what a tag names. */
  readonly digest: Digest;
  readonly descriptor: Descriptor;
  readonly manifests: readonly ManifestContent[];
  readonly blobs: ReadonlyMap<Digest, Uint8Array | SyntheticContent>;
  /** Tags beside the image's own: signatures, the fallback tag for referrers. */
  readonly tags?: readonly (readonly [string, Digest])[] | undefined;
}

export interface ImageSpec {
  /** Goes into the content: other names, other digests. */
  readonly name: string;
  /** Default linux/amd64 and linux/arm64. One platform and `index: false` make a single manifest. */
  readonly platforms?: readonly string[] | undefined;
  readonly format?: Format | undefined;
  readonly index?: boolean | undefined;
  /** Layers of a platform; default is the shared base and one of the image's own. */
  readonly layers?: ((platform: string) => readonly Layer[]) | undefined;
  /** Adds a provenance attestation for each platform, as BuildKit does (platform unknown/unknown). */
  readonly attestations?: boolean | undefined;
  /** Puts the platforms into an index of their own inside the index. */
  readonly nested?: boolean | undefined;
}

/** Builds an image; the same specification always has the same bytes. */
export function buildImage(spec: ImageSpec): ImageContent {
  const format = spec.format ?? 'oci';
  const platforms = spec.platforms ?? ['linux/amd64', 'linux/arm64'];
  const images = platforms.map((text) => platformImage(spec, format, text));
  if (spec.index === false) {
    const [only] = images;
    if (only === undefined || images.length > 1) throw new Error('an image without index has exactly one platform');
    return { ...only, descriptor: withoutPlatform(only.descriptor) };
  }
  const extra = spec.attestations === true ? images.map(attestation) : [];
  const inner = indexOf([...images, ...extra], format);
  return spec.nested === true ? indexOf([inner], format) : inner;
}

/** An index over images (or over other indexes). */
export function indexOf(children: readonly ImageContent[], format: Format = 'oci'): ImageContent {
  const mediaType = format === 'oci' ? mediaTypes.ociIndex : mediaTypes.dockerManifestList;
  const top = manifestOf(
    { schemaVersion: 2, mediaType, manifests: children.map(({ descriptor }) => descriptor) },
    mediaType,
  );
  return merged(top, children);
}

function merged(top: ManifestContent, parts: readonly ImageContent[]): ImageContent {
  const manifests = new Map(parts.flatMap((part) => part.manifests.map((each) => [each.descriptor.digest, each])));
  return {
    digest: top.descriptor.digest,
    descriptor: top.descriptor,
    manifests: [...manifests.values(), top],
    blobs: new Map(parts.flatMap(({ blobs }) => [...blobs])),
    tags: parts.flatMap(({ tags }) => tags ?? []),
  };
}

/** A manifest with its descriptor; the bytes are the JSON of the value. */
export function manifestOf(value: unknown, mediaType: string): ManifestContent {
  const bytes = Buffer.from(JSON.stringify(value, undefined, 2), 'utf8');
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

interface ArtifactParts {
  readonly mediaType?: string | undefined;
  readonly config: Layer;
  readonly layers: readonly Layer[];
  readonly more?: Readonly<Record<string, unknown>> | undefined;
}

/** A single manifest with its config and layers: an image of one platform, or any other artifact. */
export function artifactOf({ mediaType = mediaTypes.ociManifest, config, layers, more }: ArtifactParts): ImageContent {
  const manifest = manifestOf(
    {
      schemaVersion: 2,
      mediaType,
      ...more,
      config: config.descriptor,
      layers: layers.map(({ descriptor }) => descriptor),
    },
    mediaType,
  );
  const blobs = new Map<Digest, Uint8Array | SyntheticContent>();
  for (const { descriptor, content } of [config, ...layers]) {
    if (content !== undefined) blobs.set(descriptor.digest, content);
  }
  return { digest: manifest.descriptor.digest, descriptor: manifest.descriptor, manifests: [manifest], blobs };
}

/** A blob of JSON, such as a config. */
export function jsonBlob(value: unknown, mediaType: string): Layer {
  const content = Buffer.from(JSON.stringify(value), 'utf8');
  return { descriptor: { mediaType, digest: digestOf(content), size: content.length }, content };
}

function platformImage(spec: ImageSpec, format: Format, text: string): ImageContent {
  const platform = parsePlatform(text);
  const own = (): readonly Layer[] => [
    baseLayer(format),
    tarLayer([{ path: `opt/${spec.name}`, content: `#!/bin/sh\necho ${spec.name} on ${text}\n`, mode: 0o755 }], format),
  ];
  const layers = spec.layers?.(text) ?? own();
  const config = jsonBlob(
    {
      architecture: platform.architecture,
      os: platform.os,
      ...(platform.variant === undefined ? {} : { variant: platform.variant }),
      config: { Cmd: [`/opt/${spec.name}`] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ descriptor }) => descriptor.digest) },
    },
    format === 'oci' ? mediaTypes.ociConfig : 'application/vnd.docker.container.image.v1+json',
  );
  const mediaType = format === 'oci' ? mediaTypes.ociManifest : mediaTypes.dockerManifest;
  const image = artifactOf({ mediaType, config, layers });
  return { ...image, descriptor: { ...image.descriptor, platform } };
}

function withoutPlatform({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

/** https://docs.docker.com/build/metadata/attestations/attestation-storage/ */
function attestation(image: ImageContent): ImageContent {
  const platform: Platform = { architecture: 'unknown', os: 'unknown' };
  const statement = jsonBlob(
    {
      _type: 'https://in-toto.io/Statement/v0.1',
      predicateType: 'https://slsa.dev/provenance/v0.2',
      subject: [image.digest],
    },
    'application/vnd.in-toto+json',
  );
  const of = image.descriptor.platform === undefined ? '' : formatPlatform(image.descriptor.platform);
  const config = jsonBlob({ architecture: 'unknown', os: 'unknown', config: {}, for: of }, mediaTypes.ociConfig);
  const made = artifactOf({ config, layers: [statement] });
  const annotations = {
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': image.digest,
  };
  return { ...made, descriptor: { ...made.descriptor, platform, annotations } };
}

/** Adds a signature in cosign's tag scheme: `sha256-<hex>.sig` (also `.att`, `.sbom`). */
export function withCosignTag(image: ImageContent, suffix: 'sig' | 'att' | 'sbom' = 'sig'): ImageContent {
  const payload = jsonBlob(
    { critical: { image: { 'docker-manifest-digest': image.digest }, type: `cosign container image ${suffix}` } },
    'application/vnd.dev.cosign.simplesigning.v1+json',
  );
  const signature = artifactOf({ config: jsonBlob({}, mediaTypes.ociConfig), layers: [payload] });
  return beside(image, signature, [[`sha256-${digestHex(image.digest)}.${suffix}`, signature.digest]]);
}

export interface ReferrerOptions {
  readonly artifactType?: string | undefined;
  /** Also writes the tag `sha256-<hex>` that stands in for the referrers interface where a registry has none. */
  readonly fallbackTag?: boolean | undefined;
}

/** Adds an artifact whose `subject` is the image: OCI image-spec v1.1 manifest.md, distribution-spec v1.1 "Referrers Tag Schema". */
export function withReferrer(image: ImageContent, options: ReferrerOptions = {}): ImageContent {
  const artifactType = options.artifactType ?? 'application/vnd.example.sbom.v1+json';
  const { mediaType, digest, size } = image.descriptor;
  const sbom = jsonBlob({ sbom: image.digest, artifactType }, artifactType.replace(/;.*$/, ''));
  const config: Layer = jsonBlob({}, mediaTypes.ociEmpty);
  const more = { artifactType, subject: { mediaType, digest, size }, annotations: { 'org.example.kind': 'sbom' } };
  const referrer = artifactOf({ config, layers: [sbom], more });
  if (options.fallbackTag !== true) return beside(image, referrer, []);
  const entry = { ...referrer, descriptor: { ...referrer.descriptor, artifactType } };
  const list = indexOf([entry]);
  return beside(image, list, [[`sha256-${digestHex(image.digest)}`, list.digest]]);
}

function beside(image: ImageContent, other: ImageContent, tags: readonly (readonly [string, Digest])[]): ImageContent {
  return {
    ...image,
    manifests: [...image.manifests, ...other.manifests],
    blobs: new Map([...image.blobs, ...other.blobs]),
    tags: [...(image.tags ?? []), ...tags],
  };
}

/** A Docker schema 1 image: what registries retired and we refuse. */
export function schema1Image(name: string): ImageContent {
  const layer = baseLayer('docker');
  const value = {
    schemaVersion: 1,
    name,
    tag: 'latest',
    architecture: 'amd64',
    fsLayers: [{ blobSum: layer.descriptor.digest }],
    history: [{ v1Compatibility: '{"id":"0"}' }],
  };
  const manifest = manifestOf(value, mediaTypes.dockerSchema1Signed);
  const blobs = new Map(layer.content === undefined ? [] : [[layer.descriptor.digest, layer.content] as const]);
  return { digest: manifest.descriptor.digest, descriptor: manifest.descriptor, manifests: [manifest], blobs };
}
