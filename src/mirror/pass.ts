import type { Platform } from '../model/platform.ts';
import { ReplicationError, toReplicationError } from '../model/errors.ts';
import type { MirrorSection } from '../sources/mirror/mirror-file.ts';
import { selectTags } from '../sources/mirror/select-tags.ts';
import { type SectionResult, type SectionState, stateAfter } from './schedule.ts';
import type { ImageState, Tracking } from './tracking.ts';

/** One image that a section wants, with the tag found out. */
export interface WantedImage {
  readonly section: string;
  readonly source: { readonly registry: string; readonly repository: string; readonly tag: string };
  /** Repository below the target; the tag is the source's. */
  readonly target: string;
  readonly platforms: 'all' | readonly Platform[];
}

/** What became of it. `not-begun`: the run was told to stop before. */
export type ImageResult =
  | { readonly kind: 'copied' | 'unchanged'; readonly digest: string }
  | { readonly kind: 'failed'; readonly error: string }
  | { readonly kind: 'not-begun' };

/** A section whose images cannot be found out. */
export interface Unresolved {
  readonly section: string;
  readonly error: ReplicationError;
}

export interface Wanted {
  readonly images: readonly WantedImage[];
  readonly unresolved: readonly Unresolved[];
}

/** Asks for tags where a section wants those of a range or pattern: one listing for each repository. */
export async function resolveWanted(
  sections: readonly MirrorSection[],
  listTags: (source: MirrorSection['source']) => Promise<readonly string[]>,
): Promise<Wanted> {
  const found = await Promise.all(
    sections.map(async (section): Promise<Wanted> => {
      try {
        const available = section.tags.kind === 'listed' ? [] : await listTags(section.source);
        const tags = selectTags(section.tags, available);
        if (tags.length === 0) throw noTag(section);
        return { images: tags.map((tag) => wanted(section, tag)), unresolved: [] };
      } catch (error) {
        return { images: [], unresolved: [{ section: section.name, error: toReplicationError(error) }] };
      }
    }),
  );
  return withoutClashes({
    images: found.flatMap(({ images }) => images),
    unresolved: found.flatMap(({ unresolved }) => unresolved),
  });
}

function wanted({ name, source, target, platforms }: MirrorSection, tag: string): WantedImage {
  return { section: name, source: { ...source, tag }, target, platforms };
}

function noTag({ name, source, tags }: MirrorSection): ReplicationError {
  const what =
    tags.kind === 'semver' ? `range ${tags.range}` : tags.kind === 'pattern' ? `pattern ${tags.pattern}` : '';
  const place = `${source.registry}/${source.repository}`;
  return new ReplicationError('not-found', `no tag of ${place} fits the ${what} of [${name}]`, {
    side: 'source',
    reference: place,
    host: source.registry,
    remedy: 'correct the range or pattern in the mirror file',
  });
}

/** What ranges and patterns take may clash, too: none of the two is copied. */
function withoutClashes({ images, unresolved }: Wanted): Wanted {
  const takenBy = new Map<string, WantedImage>();
  const clashes: Unresolved[] = [];
  for (const image of images) {
    const name = `${image.target}:${image.source.tag}`;
    const other = takenBy.get(name);
    takenBy.set(name, other ?? image);
    if (other === undefined || sourceText(other) === sourceText(image)) continue;
    for (const [one, two] of [[image, other] as const, [other, image] as const]) {
      const message = `${name} is the name of ${sourceText(one)} and of ${sourceText(two)} ([${two.section}])`;
      const remedy = 'give one of the sections another project';
      clashes.push({
        section: one.section,
        error: new ReplicationError('configuration', message, { reference: name, remedy }),
      });
    }
  }
  const bad = new Set(clashes.map(({ section }) => section));
  return {
    images: images.filter(({ section }) => !bad.has(section)),
    unresolved: [
      ...unresolved,
      ...clashes.filter((each, at) => clashes.findIndex((other) => other.section === each.section) === at),
    ],
  };
}

export function sourceText({ source }: WantedImage): string {
  return `${source.registry}/${source.repository}:${source.tag}`;
}

/** What a pass needs of the world. Times are milliseconds since the epoch. */
export interface PassPorts {
  readonly tracking: Tracking;
  /** Names the target in fingerprints: where it goes elsewhere everything is due. */
  readonly target: string;
  /** What complete names at the target begin with, `/` at its end. */
  readonly root: string;
  readonly listTags: (source: MirrorSection['source']) => Promise<readonly string[]>;
  /** Copies, and answers in the order of the images. */
  readonly copy: (images: readonly WantedImage[]) => Promise<readonly ImageResult[]>;
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

export interface PassResult {
  readonly unresolved: readonly Unresolved[];
  /** Of the sections that were brought to an end. */
  readonly sections: readonly SectionState[];
}

/** Mirrors sections and remembers what came of it. What was not begun stays as it was, and so stays due. */
export async function mirrorPass(sections: readonly MirrorSection[], ports: PassPorts): Promise<PassResult> {
  const { tracking, target, root, now, random } = ports;
  const { images, unresolved } = await resolveWanted(sections, ports.listTags);
  const results = images.length === 0 ? [] : await ports.copy(images);
  const before = tracking.sections();
  const known = new Map(tracking.images().map((state) => [state.target, state]));
  const time = now();
  const done = images.flatMap((image, position) => {
    const result = results[position] ?? { kind: 'not-begun' };
    return result.kind === 'not-begun' ? [] : [{ image, result }];
  });
  const imageStates = done.map(({ image, result }) => {
    const name = `${root}${image.target}:${image.source.tag}`;
    return imageState(image, name, result, known.get(name), time);
  });
  const failed = new Map<string, string>(unresolved.map(({ section, error }) => [section, error.message]));
  for (const { image, result } of done)
    if (result.kind === 'failed' && !failed.has(image.section)) failed.set(image.section, result.error);
  const complete = new Set(sections.map(({ name }) => name));
  for (const { section, error } of unresolved)
    if (error.code === 'cancelled' || error.code === 'deadline') complete.delete(section);
  for (const [position, image] of images.entries())
    if ((results[position]?.kind ?? 'not-begun') === 'not-begun') complete.delete(image.section);
  const states = sections
    .filter(({ name }) => complete.has(name))
    .map((section) => {
      const error = failed.get(section.name);
      const result: SectionResult = error === undefined ? { kind: 'done' } : { kind: 'failed', error };
      return stateAfter(section, before.get(section.name), result, { now: time, target, random: random() });
    });
  tracking.record(states, imageStates);
  return { unresolved, sections: states };
}

function imageState(
  image: WantedImage,
  target: string,
  result: Exclude<ImageResult, { kind: 'not-begun' }>,
  before: ImageState | undefined,
  now: number,
): ImageState {
  const common = { target, section: image.section, source: sourceText(image), checked: now };
  if (result.kind === 'failed')
    return { ...common, digest: before?.digest, mirrored: before?.mirrored, error: result.error };
  const same = before?.digest === result.digest && before.mirrored !== undefined;
  return { ...common, digest: result.digest, mirrored: same ? before.mirrored : now, error: undefined };
}
