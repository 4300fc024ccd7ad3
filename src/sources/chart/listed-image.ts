import { ReplicationError } from '../../model/errors.ts';
import type { Origin } from '../../model/plan.ts';
import { isRepository, locate, parseReference } from '../../model/reference.ts';

/** Which of the job's inputs an image comes from. */
export type ImageFrom = 'extra images' | 'static images' | 'code collections' | 'static code collections';

/** An image that is in no render: from a list, or from the code collections. */
export interface ListedImage {
  /** As written. Without tag and digest the most recent tag is meant, unless the list says `latest` by leaving it out. */
  readonly source: string;
  /** Repository at the target, without host and tag; `undefined`: the last segment of the source's path, under the prefix. */
  readonly destination: string | undefined;
  /** Tag at the target; `undefined`: the source's. */
  readonly destinationTag: string | undefined;
  /** Where the values name it, if they do. */
  readonly helmKey: string | undefined;
  /** `asked`: the user wrote this key, so it is made where it is missing. `usual`: only where the values have it. */
  readonly helmKeyIs: 'asked' | 'usual';
  /** What stands for a missing tag. */
  readonly untagged: 'latest' | 'newest';
  readonly from: ImageFrom;
  readonly origin: Origin;
}

/** The path rule: registry prefixes go, the last segment stays. `ghcr.io/a/b` is `<prefix>/b`. */
export function lastSegment(source: string): string {
  const { repository } = parseReference(source);
  return repository.slice(repository.lastIndexOf('/') + 1);
}

/** `host/path/name` without tag and digest, Docker Hub spelled out: what two references to one image have in common. */
export function imageName(source: string): string {
  const { registry, repository } = locate(parseReference(source));
  return `${registry}/${repository}`;
}

const keyPattern = /^[\w-]+(?:[./][\w-]+)*$/;

/** Whether a text can be a value path: segments of letters, digits, `_` and `-`, with dots or slashes between them. */
export function isHelmKey(text: string): boolean {
  return keyPattern.test(text);
}

/** Splits `repository[:tag]` of a destination. @throws ReplicationError `configuration` */
export function parseDestination(text: string): { readonly repository: string; readonly tag: string | undefined } {
  const [, repository = '', tag] = /^([^:@\s]+)(?::([\w][\w.-]{0,127}))?$/.exec(text) ?? [];
  if (isRepository(repository)) return { repository, tag };
  throw new ReplicationError('configuration', `"${text}" is no destination`, {
    reference: text,
    remedy: 'write repository[:tag], without the registry, in lower case',
  });
}
