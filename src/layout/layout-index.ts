import { open } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { isDigest } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import { Descriptor } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { isTag } from '../model/reference.ts';
import { originalOf } from './stand-in.ts';
import { fileStamp, isMissingFile, replaceFile, storageError } from './files.ts';

/** OCI image-spec v1.1 annotations.md. In an image layout it is the name that a manifest is found by. */
const refName = 'org.opencontainers.image.ref.name';
const indexName = 'index.json';

const IndexJson = z.looseObject({ schemaVersion: z.literal(2), manifests: z.array(z.unknown()) });

/** A top-level manifest, and what stands under the same name for readers that cannot find it. */
export interface Entry {
  readonly descriptor: Descriptor;
  readonly standIn: Descriptor | undefined;
}

/** Top-level manifests of one repository, by tag or digest. */
export type Entries = ReadonlyMap<string, Entry>;

interface Snapshot {
  /** Which version of the file this is; `undefined` when there is none. */
  readonly stamp: string | undefined;
  readonly repositories: ReadonlyMap<string, Entries>;
  /** Entries that are not ours to understand, and everything else in the file: kept as they are. */
  readonly foreign: readonly unknown[];
  readonly rest: Readonly<Record<string, unknown>>;
}

/** A change of one repository's entries. */
export interface Edit {
  readonly repository: string;
  readonly set: Entries;
  readonly remove: readonly string[];
}

/**
 * The `index.json` of an OCI image layout (image-spec v1.1 image-layout.md). Repositories, which a layout does not know,
 * are told apart by the name annotation: `repository:tag` or `repository@digest`, as one would write it for a registry.
 *
 * The file is replaced as a whole, one writer at a time; edits that come in while it is written share the next
 * replacement. Changes by others are seen at the next read; two processes that write at the same moment are not kept apart.
 */
export class LayoutIndex {
  readonly #directory: string;
  readonly #file: string;
  #snapshot: Snapshot | undefined;
  #edits: Edit[] = [];
  #queued: Promise<void> | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
    this.#file = path.join(directory, indexName);
  }

  /** The entries of a repository, `undefined` when it has none. */
  async entries(repository: string): Promise<Entries | undefined> {
    return (await this.#current()).repositories.get(repository);
  }

  /** Resolves when the change is on disk. */
  async change(edit: Edit): Promise<void> {
    this.#edits.push(edit);
    if (this.#queued === undefined) {
      this.#queued = this.#saveAfter(this.#running);
      this.#running = this.#queued;
    }
    return this.#queued;
  }

  async #saveAfter(previous: Promise<void>): Promise<void> {
    await previous.catch(() => undefined);
    this.#queued = undefined;
    const edits = this.#edits;
    this.#edits = [];
    const next = applied(await this.#current(), edits);
    try {
      this.#snapshot = { ...next, stamp: await replaceFile(this.#directory, indexName, formatIndex(next)) };
    } catch (error) {
      throw storageError(error, 'write', this.#file);
    }
  }

  async #current(): Promise<Snapshot> {
    try {
      const handle = await open(this.#file, 'r');
      try {
        const stamp = fileStamp(await handle.stat({ bigint: true }));
        if (this.#snapshot?.stamp === stamp) return this.#snapshot;
        const snapshot = parseIndex(this.#file, await handle.readFile('utf8'), stamp);
        this.#snapshot = snapshot;
        return snapshot;
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (isMissingFile(error)) return { stamp: undefined, repositories: new Map(), foreign: [], rest: {} };
      throw storageError(error, 'read', this.#file);
    }
  }
}

function parseIndex(file: string, text: string, stamp: string): Snapshot {
  const invalid = (cause: unknown): ReplicationError =>
    new ReplicationError('corrupt', `${file} is no image index (OCI image-spec v1.1)`, {
      reference: file,
      remedy: 'choose another folder, or remove this one and run again',
      cause,
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid(cause);
  }
  const parsed = IndexJson.safeParse(json);
  if (!parsed.success) throw invalid(parsed.error);
  const { manifests, ...rest } = parsed.data;
  const repositories = new Map<string, Map<string, Entry>>();
  const foreign: unknown[] = [];
  for (const each of manifests) {
    const parsed = Descriptor.safeParse(each);
    const name = parsed.success ? splitName(parsed.data.annotations?.[refName]) : undefined;
    if (!parsed.success || name === undefined) {
      foreign.push(each);
      continue;
    }
    const entries = repositories.get(name.repository) ?? new Map<string, Entry>();
    repositories.set(name.repository, entries);
    const original = originalOf(parsed.data);
    const known = entries.get(name.reference)?.descriptor;
    if (original === undefined) entries.set(name.reference, { descriptor: parsed.data, standIn: undefined });
    // One whose original is gone has lost its meaning.
    else if (known?.digest === original) entries.set(name.reference, { descriptor: known, standIn: parsed.data });
  }
  return { stamp, repositories, foreign, rest };
}

function splitName(name: string | undefined): { readonly repository: string; readonly reference: string } | undefined {
  if (name === undefined) return undefined;
  const at = name.indexOf('@');
  const end = at >= 0 ? at : name.lastIndexOf(':');
  if (end <= 0) return undefined;
  const [repository, reference] = [name.slice(0, end), name.slice(end + 1)];
  return (at >= 0 ? isDigest(reference) : isTag(reference)) ? { repository, reference } : undefined;
}

function applied(snapshot: Snapshot, edits: readonly Edit[]): Snapshot {
  const repositories = new Map(snapshot.repositories);
  for (const edit of edits) {
    const entries = new Map(repositories.get(edit.repository));
    for (const reference of edit.remove) entries.delete(reference);
    for (const [reference, entry] of edit.set) entries.set(reference, entry);
    repositories.set(edit.repository, entries);
  }
  return { ...snapshot, repositories };
}

/** Sorted by name, so that the same content gives the same file whatever the order of the writes. */
function formatIndex(snapshot: Snapshot): string {
  const named = [...snapshot.repositories].flatMap(([repository, entries]) =>
    [...entries].map(([reference, entry]) => ({
      name: `${repository}${isDigest(reference) ? '@' : ':'}${reference}`,
      entry,
    })),
  );
  named.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const manifests = named.flatMap(({ name, entry }) =>
    [entry.descriptor, entry.standIn]
      .filter((descriptor) => descriptor !== undefined)
      .map((descriptor) => ({ ...descriptor, annotations: { ...descriptor.annotations, [refName]: name } })),
  );
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    ...snapshot.rest,
    manifests: [...snapshot.foreign, ...manifests],
  };
  return `${JSON.stringify(index, undefined, 2)}\n`;
}
