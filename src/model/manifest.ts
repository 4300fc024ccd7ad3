import * as z from 'zod';
import { type Digest, isDigest } from './digest.ts';
import { ReplicationError } from './errors.ts';
import { isImageManifestType, isIndexType, isSchema1Type, mediaTypes } from './media-types.ts';
import { Platform } from './platform.ts';

/** Largest manifest we read. ECR takes at most 4 MiB (4,194,304 bytes), as the distribution spec v1.1 asks registries to accept. */
export const maxManifestBytes = 4 * 1024 * 1024;

const DigestText = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  message: 'is no sha256 or sha512 digest',
});

/** OCI image-spec v1.1 descriptor.md. Foreign properties are kept: they belong to their producer. */
export const Descriptor = z.looseObject({
  mediaType: z.string().min(1),
  digest: DigestText,
  size: z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER),
  urls: z.array(z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  artifactType: z.string().optional(),
  platform: Platform.optional(),
});
export type Descriptor = Readonly<z.infer<typeof Descriptor>>;

const ImageManifestJson = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  config: Descriptor,
  // Absent or null in the wild for artifacts without layers; the OCI specification wants an array.
  layers: z.array(Descriptor).nullish(),
  subject: Descriptor.nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
});

const IndexJson = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  manifests: z.array(Descriptor).nullish(),
  subject: Descriptor.nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
});

export interface ImageManifest {
  readonly kind: 'image';
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface IndexManifest {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly manifests: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A manifest understood as far as copying needs it. The bytes stay what they are; this is only a view. */
export type Manifest = ImageManifest | IndexManifest;

/** Bytes of a manifest exactly as the registry sent them, with the descriptor that they were verified against. */
export interface ManifestContent {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/**
 * Parses a manifest by its media type, and by its content where the type says too little.
 * @throws ReplicationError `unsupported` for Docker schema 1, `corrupt` for anything that is no manifest.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): Manifest {
  if (isSchema1Type(mediaType)) throw schema1();
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw new ReplicationError('corrupt', `manifest of type ${mediaType} is not JSON`, { cause });
  }
  if (typeof json !== 'object' || json === null)
    throw new ReplicationError('corrupt', `manifest of type ${mediaType} is not a JSON object`);
  if ('schemaVersion' in json && json.schemaVersion === 1) throw schema1();
  const declared = 'mediaType' in json && typeof json.mediaType === 'string' ? json.mediaType : undefined;
  // OCI image-spec v1.1 manifest.md: mediaType inside should match the type it was served with; a document that is
  // both index and image under two names is how one client is shown another image than the next (CVE-2021-41190).
  if (
    declared !== undefined &&
    (isIndexType(declared) || isImageManifestType(declared)) &&
    known(mediaType) &&
    isIndexType(declared) !== isIndexType(mediaType)
  ) {
    throw new ReplicationError('corrupt', `manifest says it is ${declared}, but was served as ${mediaType}`);
  }
  if ('manifests' in json && ('layers' in json || 'config' in json)) {
    throw new ReplicationError(
      'corrupt',
      'manifest has both "manifests" and "config"/"layers" (ambiguous, CVE-2021-41190)',
    );
  }
  // The same without a mediaType inside: an image that is served as an index would pass for an index of nothing.
  if (known(mediaType) && (isIndexType(mediaType) ? 'layers' in json || 'config' in json : 'manifests' in json)) {
    throw new ReplicationError('corrupt', `manifest has the content of another kind than ${mediaType}, as which it was served`); // prettier-ignore
  }
  const type = known(mediaType) ? mediaType : (declared ?? mediaType);
  if (isIndexType(type) || (!isImageManifestType(type) && 'manifests' in json)) {
    const index = check(IndexJson, json, type);
    return {
      kind: 'index',
      mediaType: known(type) ? type : mediaTypes.ociIndex,
      artifactType: index.artifactType,
      manifests: index.manifests ?? [],
      subject: index.subject ?? undefined,
      annotations: index.annotations ?? {},
    };
  }
  const image = check(ImageManifestJson, json, type);
  return {
    kind: 'image',
    mediaType: known(type) ? type : mediaTypes.ociManifest,
    artifactType: image.artifactType,
    config: image.config,
    layers: image.layers ?? [],
    subject: image.subject ?? undefined,
    annotations: image.annotations ?? {},
  };
}

function known(mediaType: string): boolean {
  return isIndexType(mediaType) || isImageManifestType(mediaType);
}

function schema1(): ReplicationError {
  return new ReplicationError(
    'unsupported',
    'the image has only a Docker schema 1 manifest, a format that registries have retired',
    {
      remedy: 'rebuild or re-push the image with a current tool, then name the new tag',
    },
  );
}

function check<T>(schema: z.ZodType<T>, json: unknown, mediaType: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue === undefined ? '' : `: ${issue.path.join('.')} ${issue.message}`;
  throw new ReplicationError('corrupt', `manifest of type ${mediaType} is malformed${where}`, { cause: parsed.error });
}
