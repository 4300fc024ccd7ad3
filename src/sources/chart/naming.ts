import { type ReplicationError, toReplicationError } from '../../model/errors.ts';
import { locate, parseReference } from '../../model/reference.ts';
import { type ListedImage, lastSegment } from './listed-image.ts';
import type { NewestTag } from './tag-at-source.ts';

/** Which tag images get: the source's, the most recent at the source, or one stamp for the whole run. */
export type TagPolicy =
  | { readonly kind: 'same' }
  | { readonly kind: 'newest' }
  /** YYYYMMDDHHMMSS, UTC. */
  | { readonly kind: 'stamp'; readonly stamp: string };

export interface Naming {
  /** What every repository at the target begins with: `host/`, or `host/path/`. */
  readonly base: string;
  /** The same with the destination prefix, a slash at its end: `host/prefix/`. */
  readonly root: string;
  readonly tags: TagPolicy;
  /** Asks the source for the most recent tag. */
  readonly newest: (registry: string, repository: string) => Promise<NewestTag>;
  /** Takes what is worth telling when asked to tell more. */
  readonly detail: (message: string) => void;
  /** Takes an image whose tags could not be asked for. */
  readonly failed: (source: string, error: ReplicationError) => void;
}

/** An image with the names that it is to have. */
export interface NamedImage {
  /** With the tag that is read. */
  readonly source: string;
  /** Name at the target, with tag, digest or both. */
  readonly target: string;
  /** Further names at the target. */
  readonly also: readonly string[];
}

/** `20240115103000` for that second, UTC. */
export function stampOf(time: Date): string {
  return time.toISOString().replace(/\D/g, '').slice(0, 14);
}

/**
 * Names for an image of a chart. A digest stays what it is, whatever the tag. When the most recent tag cannot be had, that is
 * told and the image keeps its own: the chart asks for it.
 */
export async function nameChartImage(reference: string, naming: Naming): Promise<NamedImage> {
  const { tag, digest } = parseReference(reference);
  const repository = `${naming.root}${lastSegment(reference)}`;
  if (naming.tags.kind === 'newest' && digest === undefined) {
    try {
      const source = await withNewestTag(reference, naming);
      return { source, target: `${repository}:${parseReference(source).tag ?? 'latest'}`, also: [] };
    } catch (error) {
      naming.failed(reference, toReplicationError(error, { side: 'source', reference }));
    }
  }
  const stamp = naming.tags.kind === 'stamp' ? naming.tags.stamp : undefined;
  if (digest !== undefined && tag === undefined)
    return {
      source: reference,
      target: `${repository}@${digest}`,
      also: stamp === undefined ? [] : [`${repository}:${stamp}`],
    };
  const pinned = digest === undefined ? '' : `@${digest}`;
  return { source: reference, target: `${repository}:${stamp ?? tag ?? 'latest'}${pinned}`, also: [] };
}

/** Names for an image of a list. @throws ReplicationError when its most recent tag cannot be had */
export async function nameListedImage(image: ListedImage, naming: Naming): Promise<NamedImage> {
  const written = parseReference(image.source);
  const untagged = written.tag === undefined && written.digest === undefined;
  const isNewest =
    (untagged && image.untagged === 'newest') || (naming.tags.kind === 'newest' && written.digest === undefined);
  const source = isNewest ? await withNewestTag(image.source, naming) : image.source;
  const { tag, digest } = parseReference(source);
  const repository =
    image.destination === undefined
      ? `${naming.root}${lastSegment(image.source)}`
      : `${naming.base}${image.destination}`;
  const stamp = naming.tags.kind === 'stamp' ? naming.tags.stamp : undefined;
  const targetTag = image.destinationTag ?? stamp ?? tag ?? (digest === undefined ? 'latest' : undefined);
  return {
    source,
    target: targetTag === undefined ? `${repository}@${digest ?? ''}` : `${repository}:${targetTag}`,
    also: [],
  };
}

async function withNewestTag(reference: string, naming: Naming): Promise<string> {
  const { registry, repository } = locate(parseReference(reference));
  const { tag, because } = await naming.newest(registry, repository);
  naming.detail(`${reference}: tag ${tag}, ${because}`);
  const name = reference.replace(/:[^:/]+$/, '');
  return `${name}:${tag}`;
}
