import pLimit from 'p-limit';
import * as z from 'zod';
import { digestOf } from '../../model/digest.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { type Descriptor, type ImageManifest, parseManifest } from '../../model/manifest.ts';
import type { ReadStore } from '../../model/store.ts';
import { chooseNewest } from './newest-tag.ts';

/** Tags that are asked for when they were made. */
const maxQuestions = 200;
const questionsAtOnce = 8;
const maxConfigBytes = 8 * 1024 * 1024;

export interface NewestTag {
  readonly tag: string;
  /** Why this one, in words for the reader. */
  readonly because: string;
}

/**
 * The most recent tag of an image at its registry: by the versions and dates in the tags, else by when the images were made
 * (`created` of the OCI image configuration), else `latest`.
 * @throws ReplicationError `not-found` when there is no tag at all; what the registry answers, when it cannot be asked
 */
export async function newestTagAt(store: ReadStore, repository: string, signal: AbortSignal): Promise<NewestTag> {
  const tags = await tagsOrLatest(store, repository, signal);
  const { newest, undated, hasLatest } = chooseNewest(tags);
  if (newest !== undefined) return { tag: newest, because: `the most recent of ${tags.length} tags` };
  const made = await newestByCreation(store, repository, undated.slice(0, maxQuestions), signal);
  if (made !== undefined)
    return {
      tag: made,
      because: `made last of ${Math.min(undated.length, maxQuestions)} tags without version or date`,
    };
  if (hasLatest) return { tag: 'latest', because: 'the only tag that says anything' };
  throw new ReplicationError('not-found', `${store.name}/${repository} has no tag to take the most recent of`, {
    side: 'source',
    host: store.name,
    reference: `${store.name}/${repository}`,
    remedy: 'write the tag behind the image, or take the image out of the list',
  });
}

/** Registries may forbid listing, or know no repository that one may not pull from: a `latest` that is there does. */
async function tagsOrLatest(store: ReadStore, repository: string, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await store.listTags(repository, signal);
  } catch (error) {
    if (!isReplicationError(error, 'not-found', 'unauthorized', 'denied', 'unsupported')) throw error;
    try {
      await store.resolve(repository, 'latest', signal);
      return ['latest'];
    } catch {
      throw error;
    }
  }
}

async function newestByCreation(
  store: ReadStore,
  repository: string,
  tags: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const limit = pLimit(questionsAtOnce);
  const made = await Promise.all(
    tags.map((tag) => limit(async () => ({ tag, at: await createdAt(store, repository, tag, signal) }))),
  );
  return made.filter(({ at }) => at > 0).sort((a, b) => b.at - a.at || (a.tag < b.tag ? 1 : -1))[0]?.tag;
}

const Config = z.looseObject({ created: z.string().optional() });

/** Milliseconds since the epoch; 0 when the image does not say, or is none. */
async function createdAt(store: ReadStore, repository: string, tag: string, signal: AbortSignal): Promise<number> {
  try {
    const image = await firstImage(store, repository, tag, signal);
    if (image === undefined) return 0;
    const config = Config.safeParse(JSON.parse(await readConfig(store, repository, image.config, signal)));
    const time = Date.parse(config.data?.created ?? '');
    return Number.isNaN(time) ? 0 : time;
  } catch (error) {
    signal.throwIfAborted();
    // One broken tag among many says nothing of the others.
    if (isReplicationError(error, 'throttled', 'unavailable', 'unreachable', 'cancelled')) throw error;
    return 0;
  }
}

async function firstImage(
  store: ReadStore,
  repository: string,
  reference: string,
  signal: AbortSignal,
  depth = 0,
): Promise<ImageManifest | undefined> {
  const { bytes, descriptor } = await store.readManifest(repository, reference, signal);
  const manifest = parseManifest(bytes, descriptor.mediaType);
  if (manifest.kind === 'image') return manifest;
  const child = manifest.manifests.find(({ platform }) => platform?.os !== 'unknown');
  return child === undefined || depth > 2 ? undefined : firstImage(store, repository, child.digest, signal, depth + 1);
}

async function readConfig(
  store: ReadStore,
  repository: string,
  config: Descriptor,
  signal: AbortSignal,
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of (await store.openBlob(repository, config, { signal })) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxConfigBytes) return '{}';
  }
  const bytes = Buffer.concat(chunks);
  const algorithm = config.digest.startsWith('sha512:') ? 'sha512' : 'sha256';
  return digestOf(bytes, algorithm) === config.digest ? bytes.toString('utf8') : '{}';
}
