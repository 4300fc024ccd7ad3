import { parseAllDocuments, type ScalarTag, type Tags } from 'yaml';
import { ReplicationError } from '../model/errors.ts';
import { isTooDeep, maxNesting } from './nesting.ts';

/** What YAML and JSON documents consist of. Never changed in place. */
export type JsonLike = string | number | boolean | null | readonly JsonLike[] | { readonly [key: string]: JsonLike };

/**
 * YAML 1.1 as go-yaml v2 reads it, which helm uses through sigs.k8s.io/yaml: `yes` and `off` are booleans and `0777` is
 * octal, but there are no base-60 numbers and dates stay strings (https://pkg.go.dev/gopkg.in/yaml.v2, "Compatibility").
 */
function helmTags(tags: Tags): Tags {
  const kept = tags.filter(
    (tag) =>
      typeof tag === 'string' ||
      (!('format' in tag && tag.format === 'TIME') && tag.tag !== 'tag:yaml.org,2002:timestamp'),
  );
  return [newOctal, ...kept];
}

/** `0o17`: YAML 1.2's octal numbers, which go-yaml v2 knows beside `017`. */
const newOctal: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?0o[0-7_]+$/,
  resolve: (text) => Number.parseInt(text.replaceAll('_', '').replace('0o', ''), 8),
};

/**
 * Parses the first document of a YAML (or JSON) text as helm does: duplicate keys are allowed and the last one wins,
 * an empty document is `null`. Aliases and nesting are limited: a few lines cannot become gigabytes, nor end the process.
 * @throws ReplicationError `corrupt` with line and column when the text is not YAML, `refused` when it nests too deep
 */
export function parseHelmYaml(text: string, what: string): JsonLike {
  if (isTooDeep(text)) throw new ReplicationError('refused', `${what} nests more than ${maxNesting} levels deep`);
  const documents = parseAllDocuments(text, {
    version: '1.1',
    customTags: helmTags,
    uniqueKeys: false,
    strict: false,
    logLevel: 'silent',
  });
  const document = 'empty' in documents ? undefined : documents[0];
  if (document === undefined) return null;
  const problem = document.errors[0];
  if (problem !== undefined) {
    const at =
      problem.linePos === undefined ? '' : ` at line ${problem.linePos[0].line}, column ${problem.linePos[0].col}`;
    throw new ReplicationError('corrupt', `${what} is not YAML${at}: ${problem.message.split('\n')[0] ?? ''}`, {
      cause: problem,
    });
  }
  try {
    return toJsonLike(document.toJS({ maxAliasCount: 1000 }));
  } catch (cause) {
    throw new ReplicationError(
      'corrupt',
      `${what} cannot be read: ${cause instanceof Error ? cause.message : 'bad YAML'}`,
      {
        cause,
      },
    );
  }
}

/** Parser output as JSON: what YAML has beyond it (binary, sets, maps with other keys) becomes its plain form. */
function toJsonLike(value: unknown): JsonLike {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map((item) => toJsonLike(item));
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (value instanceof Map) return fromEntries(value.entries());
  if (value instanceof Set) return fromEntries([...value].map((key) => [key, null] as const));
  if (typeof value === 'object') return fromEntries(Object.entries(value));
  return null;
}

function fromEntries(entries: Iterable<readonly [unknown, unknown]>): JsonLike {
  // Object.fromEntries defines properties, so that a key `__proto__` is a key like any other.
  return Object.fromEntries([...entries].map(([key, item]) => [String(key), toJsonLike(item)] as const));
}
