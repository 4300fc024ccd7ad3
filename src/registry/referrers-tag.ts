import { type Digest, digestOf } from '../model/digest.ts';
import { type Descriptor, type Manifest, type ManifestContent, parseManifest } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import type { RegistryClient } from './client.ts';
import { fallbackTag, listReferrers, type ReferrersSupport, taggedReferrers } from './listings.ts';
import { writeManifest } from './manifests.ts';

/** Writes of fallback tags that are under way, by repository and subject: each changes what the one before wrote. */
export type TagQueues = Map<string, Promise<void>>;

/**
 * Where a registry does not keep referrers itself, whoever pushes one adds it to the index under the subject's fallback
 * tag (OCI distribution-spec v1.1 "Pushing Manifests with Subject"). Does nothing where the registry does, or where the
 * manifest refers to nothing.
 */
export async function recordReferrer(
  client: RegistryClient,
  support: ReferrersSupport,
  queues: TagQueues,
  repository: string,
  content: ManifestContent,
  signal: AbortSignal,
): Promise<void> {
  const referrer = referrerOf(content);
  if (referrer === undefined || !(await needsTag(client, support, repository, referrer.subject, signal))) return;
  const key = `${repository}@${referrer.subject}`;
  const before = queues.get(key) ?? Promise.resolve();
  const turn = before
    .catch(() => undefined) // its own caller hears of it
    .then(() => addToTag(client, repository, referrer.subject, referrer.descriptor, signal));
  queues.set(key, turn);
  try {
    await turn;
  } finally {
    if (queues.get(key) === turn) queues.delete(key);
  }
}

interface Referrer {
  readonly subject: Digest;
  readonly descriptor: Descriptor;
}

function referrerOf(content: ManifestContent): Referrer | undefined {
  const { bytes, descriptor } = content;
  // Nearly no manifest has one: a look at the bytes saves parsing them.
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes('"subject"')) return undefined;
  const manifest: Manifest = parseManifest(bytes, descriptor.mediaType);
  if (manifest.subject === undefined) return undefined;
  const artifactType = manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config.mediaType : undefined);
  const { mediaType, digest, size } = descriptor;
  return {
    subject: manifest.subject.digest,
    descriptor: {
      mediaType,
      digest,
      size,
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(Object.keys(manifest.annotations).length === 0 ? {} : { annotations: manifest.annotations }),
    },
  };
}

/** The registry said nothing of the subject (no OCI-Subject header): asks whether it has the API, once per registry. */
async function needsTag(
  client: RegistryClient,
  support: ReferrersSupport,
  repository: string,
  subject: Digest,
  signal: AbortSignal,
): Promise<boolean> {
  if (!support.absent && !support.present) await listReferrers(client, support, repository, subject, signal, true);
  return !support.present;
}

async function addToTag(
  client: RegistryClient,
  repository: string,
  subject: Digest,
  referrer: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const tag = fallbackTag(subject);
  const known = await taggedReferrers(client, repository, tag, signal);
  if (known.some(({ digest }) => digest === referrer.digest)) return;
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...known, referrer] };
  const bytes = Buffer.from(JSON.stringify(index));
  const descriptor = { mediaType: mediaTypes.ociIndex, digest: digestOf(bytes), size: bytes.length };
  await writeManifest(client, repository, tag, { descriptor, bytes }, signal);
}
