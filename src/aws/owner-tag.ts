import { createHash } from 'node:crypto';

/** Keys of all owner tags start with this. */
export const ownerTagPrefix = 'image-replication:';
/** Length that ECR allows for a tag's key (API reference, Tag). */
const maxKeyLength = 128;

/**
 * The tag that a deployment's module puts on every repository it uses; its value is the project. Names that are too
 * long, or have characters that tags may not have, are shortened and told apart by eight digits of their hash.
 */
export function ownerTagKey(deployment: string, module: string): string {
  const plain = `${ownerTagPrefix}${deployment}/${module}`;
  const legal = plain.replace(/[^A-Za-z0-9 _.:/=+@-]/g, '-');
  if (legal === plain && plain.length <= maxKeyLength) return plain;
  const hash = createHash('sha256').update(plain).digest('hex').slice(0, 8);
  return `${legal.slice(0, maxKeyLength - hash.length - 1)}-${hash}`;
}

/** Whether a repository's tag says that a deployment uses it. */
export function isOwnerTag(key: string): boolean {
  return key.startsWith(ownerTagPrefix);
}

/**
 * The projects in an owner tag's value. Nearly always one. Two when projects such as `app` and `app-prod` both have a
 * deployment and module of the same name, and an image `prod-x` of the one has the name of an image `x` of the other.
 */
export function ownersIn(value: string): readonly string[] {
  return value.split(' ').filter((owner) => owner !== '');
}

/** The value with the project among its owners, sorted, each once. */
export function withOwner(value: string | undefined, project: string): string {
  return [...new Set([...ownersIn(value ?? ''), project])].sort().join(' ');
}

/** The value without the project; `undefined` when no owner is left and the tag has to go. */
export function withoutOwner(value: string, project: string): string | undefined {
  const rest = ownersIn(value).filter((owner) => owner !== project);
  return rest.length === 0 ? undefined : rest.join(' ');
}
