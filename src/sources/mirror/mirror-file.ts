import { readFile } from 'node:fs/promises';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { fileProblem } from '../../model/file-problem.ts';
import type { Platform } from '../../model/platform.ts';
import { locate, parseReference } from '../../model/reference.ts';
import { checkTargetRepository } from '../../model/target-name.ts';
import { parseIni } from './ini.ts';
import { defaultSection, Problems, type RawFile, type RawSection } from './raw.ts';
import { Section, tagWish } from './schema.ts';
import type { TagWish } from './select-tags.ts';
import { parseYaml } from './yaml.ts';

/** A repository to mirror: one section of a mirror file. */
export interface MirrorSection {
  readonly name: string;
  readonly line: number;
  /** Docker Hub's short forms spelled out. */
  readonly source: { readonly registry: string; readonly repository: string };
  readonly tags: TagWish;
  /** Repository below the target. */
  readonly target: string;
  readonly platforms: 'all' | readonly Platform[];
  /** `undefined`: mirrored once, never again. */
  readonly refreshSeconds: number | undefined;
}

export interface MirrorFile {
  readonly file: string;
  readonly sections: readonly MirrorSection[];
}

/** @throws ReplicationError `configuration` when it cannot be read, ReplicationErrors with every mistake in it */
export async function readMirrorFile(path: string): Promise<MirrorFile> {
  return parseMirrorFile(await readMirrorText(path), path);
}

/** @throws ReplicationError `configuration` when it cannot be read */
export async function readMirrorText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ReplicationError('configuration', `cannot read the mirror file ${path}: ${fileProblem(cause)}`, {
      reference: path,
      remedy: 'name a readable file with --config',
      cause,
    });
  }
}

/**
 * Parses a mirror file: INI, or YAML where its name ends in .yaml or .yml.
 *
 * A section's source is `[registry/][source-repository/]image`, its target repository `project/image`: the original
 * builds both so and makes no use of the section's name (cradules/docker-mirror, src/modules/dockermirror.py, run).
 * Where it ends with a KeyError we go on: without `project` the section's name is the target repository, without `tag`
 * `latest` is meant, without `refresh` 0.
 * @throws ReplicationErrors `configuration` with every mistake, each with file and line
 */
export function parseMirrorFile(text: string, file: string): MirrorFile {
  const raw = /\.ya?ml$/i.test(file) ? parseYaml(text, file) : parseIni(text, file);
  const problems = new Problems(file);
  checkKeys(raw, problems);
  const sections = raw.sections.flatMap((each) => sectionOf(each, raw, problems));
  refuseSharedTargets(sections, problems);
  if (raw.sections.length === 0) problems.add(1, 'has no section', 'write one section for each repository to mirror');
  problems.throwIfAny();
  return { file, sections };
}

const keys: readonly string[] = Object.keys(Section.shape);

/** Told here, once for each line: `[DEFAULT]` is part of every section. */
function checkKeys({ defaults, sections }: RawFile, problems: Problems): void {
  for (const section of [defaults, ...sections])
    for (const [key, { line }] of section.entries)
      if (!keys.includes(key))
        problems.add(line, `unknown key "${key}" in [${section.name}]`, `known keys: ${keys.join(', ')}`);
}

function sectionOf(section: RawSection, { defaults }: RawFile, problems: Problems): readonly MirrorSection[] {
  const own = [...section.entries].filter(([key]) => keys.includes(key));
  const says = new Set(own.map(([key]) => key));
  const ways = ['tag', 'tags', 'semver', 'pattern', 'keep'];
  // A section that says in its own way which tags it means takes no other way from the defaults.
  const inherited = [...defaults.entries].filter(
    ([key]) => keys.includes(key) && !(ways.includes(key) && ways.some((way) => way !== 'keep' && says.has(way))),
  );
  const entries = new Map([...inherited, ...own]);
  const parsed = Section.safeParse(Object.fromEntries([...entries].map(([key, { value }]) => [key, value])));
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) {
      const key = String(path[0] ?? '');
      const entry = entries.get(key);
      const owner = entry !== undefined && !says.has(key) ? defaultSection : section.name;
      problems.add(entry?.line ?? section.line, `"${key}" of [${owner}] ${message}`);
    }
    return [];
  }
  try {
    return [resolved(section, parsed.data)];
  } catch (error) {
    if (!isReplicationError(error)) throw error;
    problems.add(section.line, `[${section.name}]: ${error.message}`, error.remedy);
    return [];
  }
}

function resolved({ name, line }: RawSection, section: Section): MirrorSection {
  const path = [section.registry, section['source-repository'], section.image].filter((part) => part !== undefined);
  const { registry, repository } = locate(parseReference(path.map(withoutSlashes).join('/')));
  const target = section.project === undefined ? name : `${withoutSlashes(section.project)}/${section.image}`;
  checkTargetRepository(`target/${target}`);
  return {
    name,
    line,
    source: { registry, repository },
    tags: tagWish(section),
    target,
    platforms: section.platforms ?? 'all',
    refreshSeconds: section.refresh?.seconds,
  };
}

function withoutSlashes(text: string): string {
  return text.replace(/^\/+|\/+$/g, '');
}

/** Two sources for one name would overwrite each other for ever. What ranges and patterns take is known only later. */
function refuseSharedTargets(sections: readonly MirrorSection[], problems: Problems): void {
  const takenBy = new Map<string, MirrorSection>();
  for (const section of sections) {
    for (const tag of section.tags.kind === 'listed' ? section.tags.tags : []) {
      const name = `${section.target}:${tag}`;
      const other = takenBy.get(name);
      takenBy.set(name, other ?? section);
      if (other === undefined || sourceOf(other) === sourceOf(section)) continue;
      problems.add(
        section.line,
        `[${section.name}] goes to ${name}, as [${other.name}] in line ${other.line} does from ${sourceOf(other)}`,
        'give one of them another project, or another name',
      );
    }
  }
}

function sourceOf({ source }: MirrorSection): string {
  return `${source.registry}/${source.repository}`;
}
