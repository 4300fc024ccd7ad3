import { ReplicationError, ReplicationErrors } from '../../model/errors.ts';
import type { Origin } from '../../model/plan.ts';
import { parseReference } from '../../model/reference.ts';
import { isHelmKey, type ListedImage, parseDestination } from './listed-image.ts';

/**
 * Parses a file of extra images: `source-reference [destination] [helm-key]` a line. `-` as destination keeps the path rule;
 * `helm_key=path` may stand anywhere behind the source. Blank lines and everything from a `#` that begins a line or follows a
 * blank are skipped. An image without tag is `latest`, as container runtimes read it.
 * @param file as messages name it
 * @param registry host of the target, which a destination may begin with
 * @throws ReplicationErrors `configuration` with every wrong line
 */
export function parseExtraImages(text: string, file: string, registry: string): readonly ListedImage[] {
  const images: ListedImage[] = [];
  const problems: ReplicationError[] = [];
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    const words = line
      .replace(/(?:^|\s)#.*$/, '')
      .split(/\s+/)
      .filter((word) => word !== '');
    const origin = { path: `${file}:${index + 1}`, file, line: index + 1 };
    if (words.length === 0) continue;
    try {
      images.push(parseLine(words, origin, registry));
    } catch (error) {
      if (!(error instanceof ReplicationError)) throw error;
      problems.push(
        new ReplicationError('configuration', `${origin.path}: ${error.message}`, {
          reference: error.reference ?? file,
          remedy: error.remedy ?? usage,
        }),
      );
    }
  }
  if (problems.length > 0) throw new ReplicationErrors(problems);
  return images;
}

const usage = 'write `source-reference [destination] [helm-key]`, and - where the destination follows from the source';

function parseLine(words: readonly string[], origin: Origin, registry: string): ListedImage {
  const [source = '', ...rest] = words;
  checkSource(source);
  const named = rest.filter((word) => word.startsWith('helm_key='));
  const plain = rest.filter((word) => !named.includes(word));
  const [target = '-', positional, ...tooMany] = plain;
  const keys = [
    ...named.map((word) => word.slice('helm_key='.length)),
    ...(positional === undefined ? [] : [positional]),
  ];
  if (tooMany.length > 0 || keys.length > 1)
    throw new ReplicationError('configuration', `"${[...tooMany, ...keys.slice(1)].join(' ')}" is one word too many`);
  const [helmKey] = keys;
  if (helmKey !== undefined && !isHelmKey(helmKey))
    throw new ReplicationError('configuration', `"${helmKey}" is no helm key`, {
      remedy: 'write a path in the values, such as runner.runEnvironment',
    });
  const destination = target === '-' ? undefined : parseDestination(withoutRegistry(target, registry));
  return {
    source,
    destination: destination?.repository,
    destinationTag: destination?.tag,
    helmKey,
    helmKeyIs: 'asked',
    untagged: 'latest',
    from: 'extra images',
    origin,
  };
}

/** A tag written twice is what scripts make of a reference that has one already. @throws ReplicationError `configuration` */
export function checkSource(source: string): void {
  const [, tag, again] = /:([\w][\w.-]*):([\w][\w.-]*)$/.exec(source) ?? [];
  if (tag !== undefined && again !== undefined && !source.includes('@')) {
    throw new ReplicationError('configuration', `"${source}" has two tags, ${tag} and ${again}`, {
      reference: source,
      remedy: 'leave one of them: repository:tag',
    });
  }
  parseReference(source);
}

function withoutRegistry(target: string, registry: string): string {
  if (target.startsWith(`${registry}/`)) return target.slice(registry.length + 1);
  const [first = ''] = target.split('/');
  if (target.includes('/') && /[.:]/.test(first))
    throw new ReplicationError(
      'configuration',
      `the destination "${target}" is at ${first}, and everything goes to ${registry}`,
      {
        reference: target,
        remedy: 'leave out the registry of the destination, or choose it with --registry',
      },
    );
  return target;
}
