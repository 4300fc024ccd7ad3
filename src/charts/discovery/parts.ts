import type { PartRole } from './found.ts';
import { asReference } from './grammar.ts';

/** A reference put together from several keys of one map. */
export interface ComposedReference {
  readonly text: string;
  readonly parts: Readonly<Partial<Record<PartRole, string>>>;
}

export interface ComposeOptions {
  /** Whether a repository alone, without tag and digest, counts: in a chart's values the tag often comes from the appVersion. */
  readonly withoutTag: boolean;
}

const roles: Readonly<Record<string, PartRole | 'name'>> = {
  registry: 'registry',
  hub: 'registry',
  repository: 'repository',
  repo: 'repository',
  image: 'image',
  imagename: 'image',
  name: 'name',
  tag: 'tag',
  version: 'tag',
  digest: 'digest',
  sha: 'digest',
  sha256: 'digest',
};
const partKey = /^(.*?)(registry|hub|repository|repo|imageName|image|name|tag|version|digest|sha256|sha)$/i;

/**
 * References whose parts stand beside each other in a map, as operators and charts write them: `{registry, repository, tag,
 * digest}`, `{repository, image, version}` (repository and image are joined), `{image, tag}`, and the same with a common
 * beginning (`imageRepository` and `imageTag`, `trivy.repository` and `trivy.tag`).
 * @param texts string values of the map by key, in order; empty ones included
 */
export function composeReferences(
  texts: ReadonlyMap<string, string>,
  options: ComposeOptions,
): readonly ComposedReference[] {
  const groups = new Map<string, Map<PartRole | 'name', string>>();
  for (const key of texts.keys()) {
    const match = partKey.exec(key);
    const role = roles[(match?.[2] ?? '').toLowerCase()];
    if (match === null || role === undefined) continue;
    const prefix = (match[1] ?? '')
      .replace(/[._-]+$/, '')
      .replace(/image$/i, '')
      .replace(/[._-]+$/, '')
      .toLowerCase();
    const group = groups.get(prefix) ?? new Map<PartRole | 'name', string>();
    // `tag` beside `version`: the tag is the image's, the version may be the application's.
    if (!group.has(role) || /tag$|^digest$/i.test(key)) group.set(role, key);
    groups.set(prefix, group);
  }
  return [...groups.values()].flatMap((group) => compose(group, texts, options) ?? []);
}

function compose(
  group: ReadonlyMap<PartRole | 'name', string>,
  texts: ReadonlyMap<string, string>,
  options: ComposeOptions,
): ComposedReference | undefined {
  const get = (role: PartRole | 'name'): string => texts.get(group.get(role) ?? '')?.trim() ?? '';
  const used: Partial<Record<PartRole, string>> = {};
  const take = (role: PartRole, from: PartRole | 'name' = role): string => {
    const key = group.get(from);
    if (key !== undefined) used[role] = key;
    return get(from);
  };
  let base: string;
  const image = get('image');
  const complete = asReference(image);
  if (get('repository') !== '' && image !== '' && complete?.registry === undefined) {
    base = `${take('repository')}/${take('image')}`;
  } else if (get('repository') !== '' && image === '') base = take('repository');
  else if (image !== '' && complete !== undefined) base = take('image');
  else if (get('name').includes('/') || (get('name') !== '' && get('registry') !== '')) base = take('image', 'name');
  else return undefined;
  const own = asReference(base);
  if (own === undefined || own.tag !== undefined || own.digest !== undefined) return undefined;
  if (get('registry') !== '' && own.registry === undefined) base = `${take('registry').replace(/\/+$/, '')}/${base}`;
  return finish(base, used, take, options);
}

function finish(
  base: string,
  used: Partial<Record<PartRole, string>>,
  take: (role: PartRole) => string,
  options: ComposeOptions,
): ComposedReference | undefined {
  const keys = Object.keys(used).length;
  const written = take('tag');
  const given = take('digest');
  const tag = written.includes(':') ? written.slice(0, written.indexOf('sha256:')).replace(/@$/, '') : written;
  const digest = /[0-9a-f]{64}$/.exec(given === '' ? written : given)?.[0];
  const text = `${base}${tag === '' ? '' : `:${tag}`}${digest === undefined ? '' : `@sha256:${digest}`}`;
  const reference = asReference(text);
  if (reference === undefined) return undefined;
  const named = tag !== '' || digest !== undefined;
  // A single key alone is no put-together reference; two that give a path with a host are one without tag.
  if (!named && !options.withoutTag && (keys < 2 || reference.registry === undefined)) return undefined;
  return { text, parts: used };
}
