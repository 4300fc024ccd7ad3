import { ReplicationError } from '../../model/errors.ts';
import type { Origin } from '../../model/plan.ts';
import { parseReference } from '../../model/reference.ts';
import { registryAsName, targetReference } from '../../model/target-name.ts';
import type { ChartContent } from './chart-content.ts';
import {
  effectiveValues,
  lookUp,
  nearestPath,
  subchartAt,
  subchartKey,
  subchartKeys,
  writtenNumber,
} from './chart-values.ts';
import type { ChartEntry, FieldEntry, ImageEntry } from './entries.ts';
import { own, withValue } from './json.ts';
import { nearestHint } from './nearest.ts';
import type { Json, JsonMap } from './schema.ts';
import { kindOf } from './yaml-file.ts';

/** An image that a chart needs, as the chart's values write it. */
export interface DeclaredImage {
  readonly reference: string;
  readonly origin: Origin;
}

export interface ChartImages {
  readonly images: readonly DeclaredImage[];
  /** The user's `values`, and over them what points the declared images at the target. */
  readonly values: JsonMap;
  /** These alone, without the user's `values`. */
  readonly overrides: JsonMap;
  readonly problems: readonly ReplicationError[];
  readonly notices: readonly string[];
}

/**
 * Reads the declared images of a chart out of its values, and makes the overrides that point them at the target.
 * One image's problem does not hide the others'.
 */
export function declaredImages(entry: ChartEntry, chart: ChartContent, prefix: string): ChartImages {
  const resolver = new ImageResolver(entry, chart, prefix);
  for (const image of entry.images) resolver.resolve(image);
  return resolver.result();
}

class ImageResolver {
  readonly #entry: ChartEntry;
  readonly #chart: ChartContent;
  readonly #prefix: string;
  readonly #tree: JsonMap;
  readonly #images: DeclaredImage[] = [];
  readonly #problems: ReplicationError[] = [];
  readonly #notices: string[] = [];
  readonly #set = new Map<string, { readonly value: Json; readonly image: string }>();
  #values: JsonMap;
  #overrides: JsonMap = {};

  constructor(entry: ChartEntry, chart: ChartContent, prefix: string) {
    this.#entry = entry;
    this.#chart = chart;
    this.#prefix = prefix;
    this.#tree = effectiveValues(chart, entry.values);
    this.#values = entry.values;
  }

  result(): ChartImages {
    return {
      images: this.#images,
      values: this.#values,
      overrides: this.#overrides,
      problems: this.#problems,
      notices: this.#notices,
    };
  }

  resolve(image: ImageEntry): void {
    // All parts are read before the first problem ends this image, so that each of them is reported.
    const registry = this.#read(image, 'registry', image.registry);
    const repository = this.#read(image, 'repository', image.repository);
    const tag = this.#read(image, 'tag', image.tag);
    if (registry === 'failed' || repository === 'failed' || tag === 'failed') return;
    if (repository.text === '') {
      this.#problem(
        image.repository.origin,
        image,
        'repository',
        `${placeOf(image.repository)} is empty in the values of`,
        {
          remedy: `name what is to be copied with charts.${this.#entry.key}.replication.${image.name}.repository in <eks-version>.yaml`,
        },
      );
      return;
    }
    const reference = [registry.text, `${repository.text}${tag.text === '' ? '' : `:${tag.text}`}`];
    const written = reference.filter((part) => part !== '').join('/');
    if (!this.#isReference(image, written)) return;
    this.#writeNames(image, registry.text, repository.text);
    this.#write(image, image.tag, tag.raw);
    if (image.remove) this.#override(image, image.remove, '');
    if (tag.text === '') this.#noticeMissingTag(image, written);
    this.#images.push({ reference: written, origin: image.origin });
  }

  /** With a registry value that one leads to the target, and the repository stays; without, the repository does. */
  #writeNames(image: ImageEntry, registry: string, repository: string): void {
    const hasRegistryValue = image.registry?.kind === 'path' && image.registry.location === 'values';
    if (registry !== '' && hasRegistryValue) {
      this.#write(image, image.registry, `${this.#prefix}${registryAsName(registry)}`);
      this.#write(image, image.repository, repository);
      return;
    }
    // An empty replacement takes away what the chart has, else the chart would put that before the target's name.
    if (hasRegistryValue && image.registry.replacement === '') this.#write(image, image.registry, '');
    const named = registry === '' ? repository : `${registry}/${repository}`;
    this.#write(image, image.repository, targetReference(this.#prefix, named));
  }

  /** The text of one part. `raw` is what is written back: null stays null. */
  #read(image: ImageEntry, part: Part, field: FieldEntry | undefined): 'failed' | { text: string; raw: string | null } {
    if (field === undefined) return { text: '', raw: '' };
    if (field.kind === 'literal') return { text: field.text, raw: field.text };
    if (field.replacement !== undefined) return { text: field.replacement, raw: field.replacement };
    const value =
      field.location === 'chart' ? this.#fromMetadata(image, part, field) : this.#fromValues(image, part, field);
    if (value === undefined) return 'failed';
    const text = value === null || value === '' ? '' : `${field.prefix}${value}`;
    return { text, raw: value === null ? null : text };
  }

  #fromMetadata(image: ImageEntry, part: Part, field: PathField): string | null | undefined {
    const chart = this.#chartOf(image, part, field);
    if (chart === undefined) return undefined;
    const found = lookUp(chart.metadata, field.path);
    const value = found.found ? found.value : undefined;
    // Helm itself reads an unquoted appVersion as a number: the chart renders it without trailing zeros too.
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    this.#problem(field.origin, image, part, `path "${field.path.join('.')}" is ${kindOf(value)} in Chart.yaml of`, {
      remedy: 'use a field of Chart.yaml such as appVersion, or location: values',
    });
    return undefined;
  }

  #chartOf(image: ImageEntry, part: Part, field: PathField): ChartContent | undefined {
    if (field.subchart === undefined) return this.#chart;
    const key = this.#subchartKey(image, part, field);
    return key === undefined ? undefined : subchartAt(this.#chart, key);
  }

  #subchartKey(image: ImageEntry, part: Part, field: PathField): string | undefined {
    const { subchart } = field;
    if (subchart === undefined) return undefined;
    const key = subchartKey(this.#chart, subchart);
    if (key === undefined) {
      const keys = subchartKeys(this.#chart);
      const there = keys.length === 0 ? 'it has none' : `it has ${keys.join(', ')}`;
      this.#problem(
        field.origin,
        image,
        part,
        `there is no subchart "${subchart}" (${there}${nearestHint(subchart, keys)}) in`,
      );
    }
    return key;
  }

  #fromValues(image: ImageEntry, part: Part, field: PathField): string | null | undefined {
    const key = this.#subchartKey(image, part, field);
    if (field.subchart !== undefined && key === undefined) return undefined;
    const path = [...(key === undefined ? [] : [key]), ...field.path];
    const found = lookUp(this.#tree, path);
    if (!found.found) {
      this.#missing(image, part, field, key, found.list);
      return undefined;
    }
    const { value } = found;
    if (value === null || typeof value === 'string') return value;
    if (typeof value === 'number') return this.#number(path, value);
    this.#problem(
      field.origin,
      image,
      part,
      `path "${path.join('.')}" is ${kindOf(value)}, not text, in the values of`,
      {
        hint: typeof value === 'object' ? nearestPath(value, part) : undefined,
        hintPrefix: `${field.path.join('.')}.`,
      },
    );
    return undefined;
  }

  #number(path: readonly string[], value: number): string {
    return lookUp(this.#entry.values, path).found ? String(value) : writtenNumber(this.#chart, path, value);
  }

  #missing(image: ImageEntry, part: Part, field: PathField, key: string | undefined, list: boolean): void {
    const path = field.path.join('.');
    const tree = key === undefined ? this.#tree : own(this.#tree, key);
    const where = key === undefined ? 'the values of' : `the values of subchart ${key} of`;
    const what = list
      ? `path "${path}" leads into a list, which overrides cannot change, in`
      : `path "${path}" does not exist in`;
    this.#problem(field.origin, image, part, `${what} ${where}`, { hint: nearestPath(tree, path) });
  }

  #isReference(image: ImageEntry, written: string): boolean {
    try {
      parseReference(written);
      return true;
    } catch (error) {
      if (!(error instanceof ReplicationError)) throw error;
      this.#problem(image.origin, image, undefined, `${error.message}; declared for`, { reference: written });
      return false;
    }
  }

  #write(image: ImageEntry, field: FieldEntry | undefined, value: Json): void {
    if (field?.kind === 'path' && field.location === 'values') this.#override(image, field, value);
  }

  #override(image: ImageEntry, place: Pick<PathField, 'path' | 'subchart'>, value: Json): void {
    const { subchart } = place;
    const key = subchart === undefined ? [] : [subchartKey(this.#chart, subchart) ?? subchart];
    const path = [...key, ...place.path];
    const name = path.join('.');
    const before = this.#set.get(name);
    if (before !== undefined && before.value !== value) {
      this.#problem(
        image.origin,
        image,
        undefined,
        `"${name}" would be both ${JSON.stringify(before.value)} (for image ${before.image}) and ${JSON.stringify(value)} in the values of`,
      );
      return;
    }
    const values = withValue(this.#values, path, value);
    if (values === undefined) {
      this.#problem(
        image.origin,
        image,
        undefined,
        `"${name}" cannot be set: something that is no map stands in the way in the overrides of`,
      );
      return;
    }
    if (before === undefined) this.#set.set(name, { value, image: image.name });
    this.#values = values;
    this.#overrides = withValue(this.#overrides, path, value) ?? this.#overrides;
  }

  #noticeMissingTag(image: ImageEntry, written: string): void {
    const reference = parseReference(written);
    if (image.tag === undefined || reference.tag !== undefined || reference.digest !== undefined) return;
    const { metadata, name, version } = this.#chart;
    const appVersion = typeof metadata.appVersion === 'string' ? ` (here "${metadata.appVersion}")` : '';
    this.#notices.push(
      `${this.#place(image.tag.origin)}: the tag is empty in the values of ${name} ${version}, so ${written}:latest is copied; ` +
        `charts usually take their appVersion then${appVersion}: declare location: chart, path: appVersion if this one does`,
    );
  }

  #place(origin: Origin): string {
    return `${origin.file ?? ''}:${origin.line ?? 0}: ${origin.path}`;
  }

  #problem(origin: Origin, image: ImageEntry, part: Part | undefined, what: string, extra: ProblemExtra = {}): void {
    const { name, version } = this.#chart;
    const hint = extra.hint === undefined ? '' : ` (nearest: "${extra.hintPrefix ?? ''}${extra.hint}")`;
    const which = `chart ${this.#entry.key}, image ${image.name}${part === undefined ? '' : `, ${part}`}`;
    this.#problems.push(
      new ReplicationError('configuration', `${this.#place(origin)}: ${what} ${name} ${version}${hint} [${which}]`, {
        reference: extra.reference ?? origin.path,
        remedy:
          extra.remedy ??
          `correct the path, or give charts.${this.#entry.key} its own \`images\` for this chart version in <eks-version>.yaml`,
      }),
    );
  }
}

type Part = 'registry' | 'repository' | 'tag';
type PathField = Extract<FieldEntry, { readonly kind: 'path' }>;

interface ProblemExtra {
  readonly hint?: string | undefined;
  readonly hintPrefix?: string;
  readonly remedy?: string;
  readonly reference?: string;
}

function placeOf(field: FieldEntry): string {
  return field.kind === 'literal' ? 'the name' : `path "${field.path.join('.')}"`;
}
