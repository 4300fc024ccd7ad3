import { isDigest } from '../model/digest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { type Answer, jsonAnswer } from './answer.ts';
import type { Exchange } from './http-host.ts';
import { notFoundPage, ociError } from './oci-error.ts';
import { existingRepository, type RegistryContext, type RepositoryHandler } from './registry-context.ts';

/**
 * Tags, in pages. ECR gives 100 a page unless told, refuses n > 1000 and follows only its own opaque tokens
 * (https://github.com/google/go-containerregistry/issues/681); distribution gives all, and `last` is a tag.
 */
export const listTags: RepositoryHandler = async (context, exchange, name) => {
  const repository = existingRepository(context, name);
  const tags = [...repository.tags.keys()].sort();
  const { searchParams } = exchange.url;
  if (context.manners === 'plain')
    return plainPage(exchange, tags, `/v2/${name}/tags/list`, (page) => ({ name, tags: page }));
  const size = Number(searchParams.get('n') ?? 100);
  if (size > 1000) throw ociError(405, 'UNSUPPORTED', "Invalid parameter at 'maxResults': must be at most 1000");
  const last = searchParams.get('last');
  const start = last === null ? 0 : offsetOf(name, last);
  const page = tags.slice(start, start + size);
  const next = start + size;
  const link = `<${context.endpoint}/v2/${name}/tags/list?last=${encodeURIComponent(pageToken(name, next))}&n=${size}>; rel="next"`;
  return jsonAnswer(200, { name, tags: page }, next < tags.length ? { link } : {});
};

function pageToken(name: string, offset: number): string {
  return Buffer.from(JSON.stringify({ name, offset }), 'utf8').toString('base64');
}

function offsetOf(name: string, token: string): number {
  const text = Buffer.from(token, 'base64').toString('utf8');
  const offset = Number(/"offset":(\d+)/.exec(text)?.[1] ?? 'NaN');
  if (token === pageToken(name, offset)) return offset;
  throw ociError(405, 'UNSUPPORTED', 'Invalid next token');
}

function plainPage(
  exchange: Exchange,
  items: readonly string[],
  path: string,
  wrap: (page: readonly string[] | null) => unknown,
): Answer {
  const { searchParams } = exchange.url;
  const last = searchParams.get('last') ?? '';
  const rest = items.filter((item) => item > last);
  const size = searchParams.has('n') ? Number(searchParams.get('n')) : rest.length;
  const page = rest.slice(0, size);
  const lastOfPage = page.at(-1);
  const more = page.length < rest.length && lastOfPage !== undefined;
  const link = `<${path}?last=${encodeURIComponent(lastOfPage ?? '')}&n=${size}>; rel="next"`;
  // distribution writes null for an empty list (a nil slice in Go).
  return jsonAnswer(200, wrap(items.length === 0 ? null : page), more ? { link } : {});
}

/** GET /v2/_catalog (distribution; not in the OCI specification). */
export async function catalog(context: RegistryContext, exchange: Exchange): Promise<Answer> {
  return plainPage(exchange, context.state.names, '/v2/_catalog', (page) => ({ repositories: page ?? [] }));
}

/** OCI distribution-spec v1.1 "Listing Referrers". ECR has it since 2024: AWS Open Source Blog, 2024-06. */
export const listReferrers: RepositoryHandler = async (context, exchange, name, reference) => {
  if (!context.referrersApi) throw notFoundPage();
  const repository = existingRepository(context, name);
  if (!isDigest(reference)) throw ociError(400, 'DIGEST_INVALID', 'not a digest');
  const filter = exchange.url.searchParams.get('artifactType');
  const manifests = [...repository.manifests.values()]
    .filter(({ view }) => view?.subject?.digest === reference)
    .map(({ view, mediaType, digest, bytes }) => ({
      mediaType,
      digest,
      size: bytes.length,
      artifactType: view?.artifactType ?? (view?.kind === 'image' ? view.config.mediaType : undefined),
      annotations: view?.annotations,
    }))
    .filter(({ artifactType }) => filter === null || artifactType === filter);
  return jsonAnswer(
    200,
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    {
      'content-type': mediaTypes.ociIndex,
      ...(filter === null ? {} : { 'oci-filters-applied': 'artifactType' }),
    },
  );
};
