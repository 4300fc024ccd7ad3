import * as z from 'zod';
import { type Digest, digestAlgorithm, digestHex } from '../model/digest.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { wordsOf } from './answer-errors.ts';
import type { RegistryClient, RegistryRequest } from './client.ts';
import type { Answer } from './exchange.ts';
import { mediaTypeOf } from './headers.ts';
import { nextLink } from './link.ts';
import { parseFrom, readManifest } from './manifests.ts';

/** OCI distribution-spec v1.1 "Listing Tags" and "Listing Referrers". */

/** Longest page, in bytes; a page has at most 1,000 tags, but registries have been seen to send all at once. */
const maxPageBytes = 32 * 1024 * 1024;
/** More than any registry needs: one whose pages never end must not hold us forever (100 tags a page: 100,000 tags). */
const maxTagPages = 1_000;
/** Signatures, SBOMs and attestations of one image are a handful; each costs requests and room at the target. */
const maxReferrers = 1_000;
const maxReferrerPages = 20;

const TagList = z.object({ tags: z.array(z.string()).nullish() });

export interface TagPage {
  readonly tags: readonly string[];
  /** Address of the next page, where there is one. */
  readonly next: URL | undefined;
}

/**
 * All tags, each once, in the registry's order. Ends where a page brings nothing new or leads back.
 * @throws `refused` after 1,000 pages
 */
export async function listTags(
  client: RegistryClient,
  repository: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const tags = new Set<string>();
  const seen = new Set<string>();
  let address: URL | undefined;
  for (let count = 0; count < maxTagPages; count += 1) {
    const page = await tagPage(client, repository, address, signal);
    const before = tags.size;
    for (const tag of page.tags) tags.add(tag);
    if (page.next === undefined || tags.size === before || seen.has(page.next.href)) return [...tags];
    seen.add(page.next.href);
    address = page.next;
  }
  throw endless(client, repository, `tags of ${repository}`, `${maxTagPages} pages`);
}

/** One page of tags. */
export async function tagPage(
  client: RegistryClient,
  repository: string,
  address: URL | undefined,
  signal: AbortSignal,
): Promise<TagPage> {
  const request: RegistryRequest = {
    method: 'GET',
    // ECR answers 405 to more than 1,000 (go-containerregistry#681).
    path: address ?? `/v2/${repository}/tags/list?n=1000`,
    repository,
    actions: 'pull',
    headers: { accept: 'application/json' },
    requestClass: 'get',
    what: `tags of ${repository}`,
    limit: maxPageBytes,
    signal,
  };
  const answer = await client.send(request);
  if (answer.status !== 200) throw client.fail(answer, request);
  const parsed = TagList.safeParse(jsonOf(answer));
  if (!parsed.success || answer.cut) throw nonsense(client, request);
  return { tags: parsed.data.tags ?? [], next: nextPage(client, answer, request) };
}

/** Whether a registry has the referrers API; one per registry, learned from its answers. */
export interface ReferrersSupport {
  absent: boolean;
  present: boolean;
}

/**
 * Manifests that refer to a digest, each once, by the API or by the fallback tag ("Unavailable Referrers API").
 * @throws `refused` when there are more than 1,000, or more than 20 pages of them
 */
export async function listReferrers(
  client: RegistryClient,
  support: ReferrersSupport,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
  fallbackTagAbsent: boolean,
): Promise<readonly Descriptor[]> {
  const found = support.absent ? undefined : await referrersByApi(client, support, repository, digest, signal);
  if (found !== undefined) return found;
  if (fallbackTagAbsent) return [];
  const referrers = new Map<Digest, Descriptor>();
  const listed = await taggedReferrers(client, repository, fallbackTag(digest), signal);
  collect(client, repository, digest, listed, referrers);
  return [...referrers.values()];
}

/** Answers to the API's address of registries that do not know it: 404 by the specification, others as seen. */
const unknownApi = new Set([400, 401, 403, 404, 405, 406, 501]);

async function referrersByApi(
  client: RegistryClient,
  support: ReferrersSupport,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<readonly Descriptor[] | undefined> {
  const referrers = new Map<Digest, Descriptor>();
  const seen = new Set<string>();
  let path: string | URL = `/v2/${repository}/referrers/${digest}`;
  for (let count = 0; count < maxReferrerPages; count += 1) {
    const request: RegistryRequest = {
      method: 'GET',
      path,
      repository,
      actions: 'pull',
      headers: { accept: mediaTypes.ociIndex },
      requestClass: 'get',
      what: `referrers of ${repository}@${digest}`,
      limit: maxPageBytes,
      signal,
    };
    const answer: Answer = await client.send(request);
    if (answer.status !== 200) {
      if (!unknownApi.has(answer.status)) throw client.fail(answer, request);
      const sure = answer.status === 404 || answer.status === 405 || answer.status === 501;
      if (sure && !wordsOf(answer, client.transport.mask).codes.includes('NAME_UNKNOWN')) support.absent = true;
      return undefined;
    }
    const page = pageOf(client, answer, request);
    if (page === undefined) return undefined;
    support.present = true;
    const added = collect(client, repository, digest, page, referrers);
    const next = nextPage(client, answer, request);
    if (next === undefined || !added || seen.has(next.href)) return [...referrers.values()];
    seen.add(next.href);
    path = next;
  }
  throw endless(client, repository, `referrers of ${repository}@${digest}`, `${maxReferrerPages} pages`);
}

/** Adds what is new. @returns whether anything was */
function collect(
  client: RegistryClient,
  repository: string,
  subject: Digest,
  page: readonly Descriptor[],
  into: Map<Digest, Descriptor>,
): boolean {
  const before = into.size;
  for (const descriptor of page) {
    if (into.has(descriptor.digest)) continue;
    if (into.size === maxReferrers)
      throw endless(client, repository, `referrers of ${repository}@${subject}`, String(maxReferrers));
    into.set(descriptor.digest, descriptor);
  }
  return into.size > before;
}

/** `undefined`: not an index at all, such as the web page that some servers send for any address. */
function pageOf(client: RegistryClient, answer: Answer, request: RegistryRequest): readonly Descriptor[] | undefined {
  if (mediaTypeOf(answer.headers)?.includes('json') !== true) return undefined;
  if (answer.cut) throw nonsense(client, request);
  const manifest = parseFrom(client, request.what, answer.bytes, mediaTypes.ociIndex);
  return manifest.kind === 'index' ? manifest.manifests : undefined;
}

/** What the index under a fallback tag lists; empty when there is none. */
export async function taggedReferrers(
  client: RegistryClient,
  repository: string,
  tag: string,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  try {
    const { bytes, descriptor } = await readManifest(client, repository, tag, signal);
    const manifest = parseFrom(client, `manifest ${repository}:${tag}`, bytes, descriptor.mediaType);
    return manifest.kind === 'index' ? manifest.manifests : [];
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return [];
    throw error;
  }
}

/** OCI distribution-spec v1.1 "Referrers Tag Schema": algorithm cut to 32 characters, hex to 64. */
export function fallbackTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest).slice(0, 64)}`;
}

function nextPage(client: RegistryClient, answer: Answer, request: RegistryRequest): URL | undefined {
  const link = nextLink(answer.headers['link']);
  if (link === undefined || link === '') return undefined;
  if (!URL.canParse(link, answer.url.href)) throw nonsense(client, request);
  const next = new URL(link, answer.url);
  // Registries behind a proxy write their inner address: the path is right, the host is the one that we know.
  const known = new URL(`${next.pathname}${next.search}`, answer.url);
  if (known.href === answer.url.href) throw nonsense(client, request);
  return known;
}

function jsonOf(answer: Answer): unknown {
  try {
    return JSON.parse(answer.bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function nonsense(client: RegistryClient, request: RegistryRequest): ReplicationError {
  return new ReplicationError('corrupt', `${client.host} answered with something that is no list (${request.what})`, {
    host: client.host,
    reference: `${client.host}/${request.repository}`,
    remedy: `check that ${client.host} is a registry and no proxy answers in its place`,
  });
}

function endless(client: RegistryClient, repository: string, what: string, bound: string): ReplicationError {
  return new ReplicationError('refused', `${client.host} lists more ${what} than we read (${bound})`, {
    host: client.host,
    reference: `${client.host}/${repository}`,
    remedy: `delete what is not needed from ${client.host}/${repository}, or ask its operator whether its lists end`,
  });
}
