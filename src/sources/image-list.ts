import { ReplicationError, ReplicationErrors } from '../model/errors.ts';
import type { Origin } from '../model/plan.ts';
import { formatLocation, locate, parseReference } from '../model/reference.ts';

/** One line of a list. */
export interface ImageListEntry {
  /** As written. */
  readonly source: string;
  /** As written; `undefined` when the line names none. */
  readonly target: string | undefined;
  readonly origin: Origin;
}

/**
 * Parses a list of images: one `source-reference [target-reference]` a line. Blank lines and everything from a `#` that
 * begins a line or follows a space are skipped.
 * @param file as messages name it
 * @throws ReplicationErrors `configuration` with every wrong line
 */
export function parseImageList(text: string, file: string): readonly ImageListEntry[] {
  const entries: ImageListEntry[] = [];
  const problems: ReplicationError[] = [];
  const takenBy = new Map<string, ImageListEntry>();
  for (const [index, content] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const words = content
      .replace(/(?:^|\s)#.*$/, '')
      .trim()
      .split(/\s+/)
      .filter((word) => word !== '');
    if (words.length === 0) continue;
    try {
      const entry = parseLine(words, { path: `${file}:${index + 1}`, file, line: index + 1 });
      claimTarget(takenBy, entry);
      entries.push(entry);
    } catch (error) {
      if (!(error instanceof ReplicationError)) throw error;
      problems.push(
        new ReplicationError(error.code, `${file}:${index + 1}: ${error.message}`, {
          reference: error.reference,
          remedy: error.remedy ?? 'write one `source-reference [target-reference]` a line',
        }),
      );
    }
  }
  if (problems.length > 0) throw new ReplicationErrors(problems);
  return entries;
}

function parseLine(words: readonly string[], origin: Origin): ImageListEntry {
  const [source, target, ...rest] = words;
  if (source === undefined || rest.length > 0) {
    throw new ReplicationError(
      'configuration',
      `has ${words.length} words, expected \`source-reference [target-reference]\``,
    );
  }
  const from = parseReference(source);
  const to = target === undefined ? undefined : parseReference(target);
  // A tag names what the source names; a digest beside it would be a promise that nobody keeps.
  if (to?.tag !== undefined && to.digest !== undefined && to.digest !== from.digest) {
    throw new ReplicationError(
      'configuration',
      `"${target}" names a tag and a digest, and "${source}" not this digest`,
      {
        reference: target,
        remedy: 'leave out the digest of the target, or name it at the source',
      },
    );
  }
  return { source, target, origin };
}

/** One target for two different sources would be a race in the copy. */
function claimTarget(takenBy: Map<string, ImageListEntry>, entry: ImageListEntry): void {
  if (entry.target === undefined) return;
  const target = location(entry.target);
  const other = takenBy.get(target);
  if (other !== undefined && location(other.source) !== location(entry.source)) {
    throw new ReplicationError(
      'configuration',
      `"${entry.target}" is also the target of "${other.source}" (line ${other.origin.line ?? 0})`,
      { reference: entry.target, remedy: 'give each source a target of its own' },
    );
  }
  takenBy.set(target, other ?? entry);
}

function location(reference: string): string {
  return formatLocation(locate(parseReference(reference)));
}
