import type { ReplicationError } from '../../model/errors.ts';
import type { Origin } from '../../model/plan.ts';
import type { CheckedFile } from './checked-file.ts';
import type { ChartEntry, DataFileSet, FieldEntry, ImageEntry } from './entries.ts';
import { deepMerge } from './json.ts';
import { nearestHint } from './nearest.ts';
import type { ChartText, DefaultFileText, FieldText, ImageText, JsonMap, VersionFileText } from './schema.ts';
import { problemAt } from './yaml-file.ts';

type AnyFile = CheckedFile<DefaultFileText> | CheckedFile<VersionFileText>;
type Replacements = NonNullable<ChartText['replication']>;

/** A part of a chart's entry, with the file that it was taken from. */
interface Picked<T> {
  readonly value: T;
  readonly file: AnyFile;
}

const emptyChart: ChartText = {};

/** Puts `default.yaml` and the version's file together: what the version's file says wins, part by part. */
export function mergeDataFiles(
  eksVersion: string,
  base: CheckedFile<DefaultFileText>,
  version: CheckedFile<VersionFileText>,
): { readonly set: DataFileSet; readonly problems: readonly ReplicationError[] } {
  const problems: ReplicationError[] = [];
  const apiVersions = union(base.data.apiVersions, version.data.apiVersions);
  const platforms = version.data.platforms ?? base.data.platforms ?? undefined;
  const charts = new Map<string, ChartEntry>();
  const baseKeys = Object.keys(base.data.charts ?? {});
  for (const key of new Set([...baseKeys, ...Object.keys(version.data.charts ?? {})])) {
    const merger = new ChartMerger(key, base, version, baseKeys, problems);
    const chart = merger.merge(platforms, apiVersions);
    if (chart !== undefined) charts.set(key, chart);
  }
  const { additionalImages, dockerMappings } = mergeImages(base, version);
  const files = [base, version].map(({ found: { name, path, from } }) => ({ name, path, from }));
  const amiVersion = version.data.ami?.version ?? '';
  return {
    set: {
      eksVersion,
      files,
      amiVersion,
      charts,
      additionalImages,
      dockerMappings,
      platforms,
      apiVersions,
      userHosts: userHosts([base, version]),
    },
    problems,
  };
}

function chartIn({ data: { charts } }: AnyFile, key: string): ChartText {
  return (charts && Object.hasOwn(charts, key) ? charts[key] : undefined) ?? emptyChart;
}

class ChartMerger {
  readonly #key: string;
  readonly #files: readonly [AnyFile, AnyFile];
  readonly #texts: readonly [ChartText, ChartText];
  readonly #known: readonly string[];
  readonly #problems: ReplicationError[];

  constructor(key: string, base: AnyFile, version: AnyFile, known: readonly string[], problems: ReplicationError[]) {
    this.#key = key;
    // The version's file comes first: it wins.
    this.#files = [version, base];
    this.#texts = [chartIn(version, key), chartIn(base, key)];
    this.#known = known;
    this.#problems = problems;
  }

  /** @returns `undefined` when the chart is skipped, or cannot be used (then there is a problem) */
  merge(platforms: readonly string[] | undefined, apiVersions: readonly string[]): ChartEntry | undefined {
    const name = this.#pick('name');
    const repository = this.#pick('repository');
    const version = this.#pick('version');
    if (!name || !repository || !version) {
      const isSkipped = this.#isKnown() && (this.#pick('skip')?.value ?? false);
      if (!isSkipped) this.#complainIncomplete({ name, repository, version });
      return undefined;
    }
    if (this.#pick('skip')?.value ?? false) return undefined;
    const [own, inherited] = this.#texts;
    return {
      key: this.#key,
      name: name.value,
      repository: repository.value,
      version: version.value,
      images: this.#images(),
      subcharts: this.#pick('subcharts')?.value ?? [],
      values: mergeValues(inherited.values, own.values),
      profiles: new Map(Object.entries({ ...inherited.profiles, ...own.profiles })),
      platforms: this.#pick('platforms')?.value ?? platforms,
      apiVersions: union(apiVersions, inherited.apiVersions, own.apiVersions),
      conditionalImages: this.#pick('conditionalImages')?.value,
      origin: originAt(version.file, ['charts', this.#key]),
    };
  }

  #isKnown(): boolean {
    return this.#known.includes(this.#key);
  }

  /** What the version's file says, else what default.yaml says. An empty entry (`images:` alone) says nothing. */
  #pick<K extends keyof ChartText>(part: K): Picked<NonNullable<ChartText[K]>> | undefined {
    for (const [index, text] of this.#texts.entries()) {
      const value = text[part] ?? undefined;
      const file = this.#files[index];
      if (value !== undefined && file !== undefined) return { value, file };
    }
    return undefined;
  }

  #complainIncomplete(parts: Readonly<Record<string, unknown>>): void {
    const missing = Object.keys(parts).filter((part) => parts[part] === undefined);
    const [version, base] = this.#files;
    const what = this.#isKnown()
      ? `${missing.join(', ')} missing`
      : `no such chart in ${base.found.path}${nearestHint(this.#key, this.#known, 'nearest known chart')}, and ${missing.join(', ')} missing for a new one`;
    this.#problems.push(problemAt((this.#isKnown() ? base : version).yaml, ['charts', this.#key], what));
  }

  #images(): readonly ImageEntry[] {
    const images = this.#pick('images');
    const replication = this.#pick('replication');
    if (replication) this.#checkReplication(replication, images?.value ?? {});
    if (!images) return [];
    return Object.entries(images.value).map(([name, text]) => {
      const at = ['charts', this.#key, 'images', name];
      const replaced = replication && Object.hasOwn(replication.value, name) ? replication.value[name] : undefined;
      return imageEntry(images.file, at, name, text, replaced ?? {});
    });
  }

  /** `replication` for an image or a part that is not declared would have no effect. */
  #checkReplication({ value, file }: Picked<Replacements>, images: Readonly<Record<string, ImageText>>): void {
    for (const [name, parts] of Object.entries(value)) {
      const at = ['charts', this.#key, 'replication', name];
      const image = Object.hasOwn(images, name) ? images[name] : undefined;
      if (image === undefined) {
        const hint = nearestHint(name, Object.keys(images), 'nearest declared image');
        this.#problems.push(problemAt(file.yaml, at, `no such image is declared for this chart${hint}`));
        continue;
      }
      for (const part of Object.keys(parts).filter((each) => !Object.hasOwn(image, each))) {
        this.#problems.push(
          problemAt(
            file.yaml,
            [...at, part],
            `the image declares no ${part}, so there is no value that could be set`,
            `declare charts.${this.#key}.images.${name}.${part} with location and path`,
          ),
        );
      }
    }
  }
}

function imageEntry(
  file: AnyFile,
  at: readonly string[],
  name: string,
  text: ImageText,
  replaced: NonNullable<Replacements[string]>,
): ImageEntry {
  const field = (part: 'registry' | 'repository' | 'tag', written: FieldText): FieldEntry =>
    fieldEntry(written, replaced[part], originAt(file, [...at, part]));
  return {
    name,
    registry: text.registry && field('registry', text.registry),
    repository: field('repository', text.repository),
    tag: text.tag && field('tag', text.tag),
    remove: text.remove && { path: text.remove.path.split('.'), subchart: text.remove.subchart },
    origin: originAt(file, at),
  };
}

function fieldEntry(text: FieldText, replacement: string | undefined, origin: Origin): FieldEntry {
  if (text.path === undefined || text.location === undefined) {
    return { kind: 'literal', text: replacement ?? text.name ?? '', origin };
  }
  return {
    kind: 'path',
    location: text.location,
    path: text.path.split('.'),
    subchart: text.subchart,
    prefix: text.prefix ?? '',
    replacement,
    origin,
  };
}

function mergeImages(
  base: CheckedFile<DefaultFileText>,
  version: CheckedFile<VersionFileText>,
): Pick<DataFileSet, 'additionalImages' | 'dockerMappings'> {
  const additionalImages = new Map<string, { reference: string; origin: Origin }>();
  for (const file of [base, version]) {
    for (const [name, reference] of Object.entries(file.data.additional_images ?? {})) {
      additionalImages.set(name, { reference, origin: originAt(file, ['additional_images', name]) });
    }
  }
  const mappings = Object.entries(version.data.docker_mappings ?? {});
  return { additionalImages, dockerMappings: new Map(mappings.map(([from, to]) => [from, to.replace(/\/+$/, '')])) };
}

function userHosts(files: readonly AnyFile[]): ReadonlySet<string> {
  const hosts = new Set<string>();
  for (const { found, data } of files) {
    if (found.from !== 'user') continue;
    for (const chart of Object.values(data.charts ?? {})) {
      const host = chart?.repository === undefined ? undefined : /^\w+:\/\/([^/]+)/.exec(chart.repository)?.[1];
      if (host !== undefined) hosts.add(host);
    }
    const mappings = 'docker_mappings' in data ? Object.values(data.docker_mappings ?? {}) : [];
    for (const target of mappings) hosts.add(target.split('/')[0] ?? target);
  }
  return hosts;
}

function originAt(file: AnyFile, keys: readonly string[]): Origin {
  return { path: keys.join('.'), file: file.found.path, line: file.yaml.lineOf(keys) };
}

function mergeValues(...layers: readonly (JsonMap | null | undefined)[]): JsonMap {
  return layers.reduce<JsonMap>((merged, layer) => deepMerge(merged, layer ?? {}), {});
}

function union(...lists: readonly (readonly string[] | null | undefined)[]): readonly string[] {
  return [...new Set(lists.flatMap((list) => list ?? []))];
}
