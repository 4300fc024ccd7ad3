import { ReplicationError } from '../model/errors.ts';
import { type JsonLike, parseHelmYaml } from './helm-yaml.ts';

/** One version of a chart in a repository's index.yaml. */
export interface IndexEntry {
  readonly version: string;
  /** First of `urls`, as written: relative or absolute. helm uses no other (pkg/repo, pkg/downloader). */
  readonly url: string;
  /** sha256 of the archive in lower-case hex, where the index has one that makes sense. */
  readonly sha256: string | undefined;
}

export interface RepositoryIndex {
  readonly names: readonly string[];
  /** Versions of one chart in the order of the file; entries without version or URL are left out, as helm does. */
  entries(name: string): readonly IndexEntry[];
}

/**
 * Reads an index.yaml (https://helm.sh/docs/topics/chart_repository/#the-index-file). Indexes of big repositories have
 * tens of megabytes and hundreds of charts, of which a run needs one: in the block style that every generator writes, the
 * text is cut at the chart names and only the lines of the asked chart are parsed; any other style is parsed whole.
 * @throws ReplicationError `corrupt` when it is no index, which a HTML page at that address is the usual case of
 */
export function readIndex(bytes: Uint8Array, address: string): RepositoryIndex {
  const text = new TextDecoder('utf-8').decode(bytes);
  if (/^\s*</.test(text.slice(0, 1024))) {
    throw notAnIndex(
      address,
      'it is a HTML or XML page',
      'check the repository URL: it must have an index.yaml below it',
    );
  }
  if (text.trim() === '') throw notAnIndex(address, 'it is empty', undefined);
  const sections = cutIntoCharts(text);
  return sections === undefined ? parseWhole(text, address) : lazily(sections, text, address);
}

function notAnIndex(address: string, why: string, remedy: string | undefined): ReplicationError {
  return new ReplicationError('corrupt', `${address} is not the index of a chart repository: ${why}`, {
    reference: address,
    remedy,
  });
}

/**
 * Text of each chart under `entries:`, keys included. `undefined` when the document is in another style (flow, JSON,
 * anchors, odd keys) or needs its header checked.
 */
function cutIntoCharts(text: string): ReadonlyMap<string, string> | undefined {
  const start = /^entries:[ \t]*(?:#.*)?\r?\n/m.exec(text);
  if (start === null || !/^apiVersion:[ \t]*\S/m.test(text) || text.includes('\n---')) return undefined;
  const from = start.index + start[0].length;
  const nextKey = /^[^\s#]/m.exec(text.slice(from));
  const body = text.slice(from, nextKey === null ? undefined : from + nextKey.index);
  const indent = /^( +)[^\s#]/m.exec(body)?.[1];
  if (indent === undefined || /^\t/m.test(body)) return undefined;
  const keys = [...body.matchAll(new RegExp(`^${indent}(?! |-|#|\\r?$)(.*)$`, 'gm'))];
  const sections = new Map<string, string>();
  for (const [number, key] of keys.entries()) {
    const name = /^(["']?)([A-Za-z0-9][A-Za-z0-9._-]*)\1:\s*$/.exec(key[1] ?? '')?.[2];
    if (name === undefined || sections.has(name)) return undefined;
    sections.set(name, body.slice(key.index, keys[number + 1]?.index));
  }
  return sections;
}

function lazily(sections: ReadonlyMap<string, string>, text: string, address: string): RepositoryIndex {
  let whole: RepositoryIndex | undefined;
  const parsed = new Map<string, readonly IndexEntry[]>();
  return {
    names: [...sections.keys()],
    entries: (name) => {
      const known = parsed.get(name);
      if (known !== undefined) return known;
      const section = sections.get(name);
      if (section === undefined) return [];
      let entries: readonly IndexEntry[];
      try {
        const document = parseHelmYaml(section, `the entry of ${name}`);
        entries = entriesOf(isMap(document) ? document[name] : undefined);
      } catch {
        // The cut was wrong (an alias to an anchor elsewhere, say), or the file is: the whole document tells.
        whole ??= parseWhole(text, address);
        entries = whole.entries(name);
      }
      parsed.set(name, entries);
      return entries;
    },
  };
}

function parseWhole(text: string, address: string): RepositoryIndex {
  let document: JsonLike;
  try {
    document = /^\s*\{/.test(text) ? jsonOf(text) : parseHelmYaml(text, 'the file');
  } catch (error) {
    throw notAnIndex(address, error instanceof Error ? error.message : 'it cannot be read', undefined);
  }
  const charts = isMap(document) ? document['entries'] : undefined;
  if (!isMap(document) || (typeof document['apiVersion'] !== 'string' && charts === undefined))
    throw notAnIndex(address, 'it has neither apiVersion nor entries', undefined);
  if (typeof document['apiVersion'] !== 'string') throw notAnIndex(address, 'it has no apiVersion', undefined);
  const entries = isMap(charts) ? charts : {};
  return {
    names: Object.keys(entries),
    entries: (name) => entriesOf(Object.hasOwn(entries, name) ? entries[name] : []),
  };
}

function jsonOf(text: string): JsonLike {
  return JSON.parse(text) as JsonLike; // JSON.parse yields nothing but JSON
}

function isMap(value: JsonLike | undefined): value is { readonly [key: string]: JsonLike } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function entriesOf(list: JsonLike | undefined): readonly IndexEntry[] {
  if (!Array.isArray(list)) return [];
  return (list as readonly JsonLike[]).flatMap((item) => {
    if (!isMap(item)) return [];
    const version = item['version'];
    const urls = item['urls'];
    const url = Array.isArray(urls) ? (urls as readonly JsonLike[])[0] : undefined;
    if ((typeof version !== 'string' && typeof version !== 'number') || typeof url !== 'string' || url === '')
      return [];
    const written = item['digest'];
    const digest = typeof written === 'string' ? /^(?:sha256:)?([0-9a-fA-F]{64})$/.exec(written)?.[1] : undefined;
    return [{ version: String(version), url, sha256: digest?.toLowerCase() }];
  });
}
