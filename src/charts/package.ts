import { digestOf } from '../model/digest.ts';
import type { Descriptor, ManifestContent } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { chartArchiveLimits } from './archive-limits.ts';
import { readArchiveSync } from './archive.ts';
import { type ChartDependency, type ChartMetadata, insideFolder, readMetadata } from './chart.ts';
import { tagOfVersion } from './version.ts';

export interface ChartPackage {
  readonly manifest: ManifestContent;
  /** Config, chart and provenance, ready to upload. */
  readonly blobs: readonly { readonly descriptor: Descriptor; readonly bytes: Uint8Array }[];
  /** Tag to push under: the chart's version, `+` as `_`. */
  readonly tag: string;
}

/**
 * Wraps a packaged chart as the artifact that `helm push` makes (helm pkg/registry/client.go `Push`), except for the
 * time stamp: `org.opencontainers.image.created` is left out, so that the same chart always has the same digest.
 * @param provenance content of the `.tgz.prov` file; becomes a second layer
 * @throws ReplicationError `refused` or `corrupt` when the archive is no chart (see archive.ts)
 */
export function packageChart(input: {
  readonly archive: Uint8Array;
  readonly provenance?: Uint8Array | undefined;
}): ChartPackage {
  const files = insideFolder(readArchiveSync(input.archive, chartArchiveLimits, 'the chart archive'));
  const metadata = readMetadata(files, 'the chart');
  const config = blob(mediaTypes.helmConfig, Buffer.from(goJson(configOf(metadata))));
  const layers = [blob(mediaTypes.helmChart, input.archive)];
  if (input.provenance !== undefined) layers.push(blob(mediaTypes.helmProvenance, input.provenance));
  // helm sorts layers by digest, as ORAS 1 did; readers go by media type.
  layers.sort((a, b) => (a.descriptor.digest < b.descriptor.digest ? -1 : 1));
  const bytes = Buffer.from(
    goJson({
      schemaVersion: 2,
      config: config.descriptor,
      layers: layers.map(({ descriptor }) => descriptor),
      annotations: annotationsOf(metadata),
    }),
  );
  return {
    manifest: { descriptor: { mediaType: mediaTypes.ociManifest, digest: digestOf(bytes), size: bytes.length }, bytes },
    blobs: [config, ...layers],
    tag: tagOfVersion(metadata.version),
  };
}

function blob(mediaType: string, bytes: Uint8Array): { readonly descriptor: Descriptor; readonly bytes: Uint8Array } {
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

/** Go's encoding/json escapes what could end a HTML script element or line; helm's blobs have it, so ours do. */
function goJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Chart.yaml as helm writes it into the config blob: fields in the order of its `chart.Metadata`, empty ones left out,
 * unprintable characters dropped (`sanitizeString`), maps sorted by key as Go sorts them.
 */
function configOf(metadata: ChartMetadata): Readonly<Record<string, unknown>> {
  return withoutEmpty({
    name: clean(metadata.name),
    home: clean(metadata.home),
    sources: metadata.sources?.map(clean),
    version: metadata.version,
    description: clean(metadata.description),
    keywords: metadata.keywords?.map(clean),
    maintainers: metadata.maintainers?.map(({ name, email, url }) =>
      withoutEmpty({ name: clean(name), email: clean(email), url: clean(url) }),
    ),
    icon: clean(metadata.icon),
    apiVersion: metadata.apiVersion,
    condition: clean(textOf(metadata['condition'])),
    tags: clean(textOf(metadata['tags'])),
    appVersion: clean(metadata.appVersion),
    deprecated: metadata['deprecated'] === true,
    annotations: sorted(metadata.annotations ?? {}),
    kubeVersion: clean(metadata.kubeVersion),
    dependencies: metadata.dependencies?.map(dependencyOf),
    type: metadata.type,
  });
}

function dependencyOf(dependency: ChartDependency): Readonly<Record<string, unknown>> {
  const { name, version, repository, condition, tags, alias } = dependency;
  const written = withoutEmpty({
    version: clean(version),
    condition: clean(condition),
    tags: tags?.map(clean),
    enabled: dependency['enabled'] === true,
    'import-values': dependency['import-values'],
    alias,
  });
  const { version: cleanVersion, ...rest } = written;
  // Only these two are written even when empty (helm pkg/chart/dependency.go).
  return {
    name: clean(name),
    ...(cleanVersion === undefined ? {} : { version: cleanVersion }),
    repository: clean(repository) ?? '',
    ...rest,
  };
}

function withoutEmpty(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}

/** What Go's `omitempty` omits: nil, false, "", and maps and slices without content. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** helm pkg/chart/metadata.go `sanitizeString`: white space becomes a space, what cannot be printed is dropped. */
function clean<T extends string | undefined>(text: T): T extends undefined ? string | undefined : string;
function clean(text: string | undefined): string | undefined {
  return text?.replaceAll(/\s/gu, ' ').replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '');
}

function sorted(map: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => byBytes(a, b)));
}

/** helm pkg/registry/chart.go `generateOCIAnnotations`, without `created`. The chart's own annotations come along. */
function annotationsOf(metadata: ChartMetadata): Readonly<Record<string, string>> {
  const prefix = 'org.opencontainers.image.';
  const authors = metadata.maintainers
    ?.map(({ name, email }) => `${name ?? ''}${email === undefined || email === '' ? '' : ` (${email})`}`)
    .join(', ');
  const own = Object.entries({
    [`${prefix}description`]: clean(metadata.description),
    [`${prefix}title`]: clean(metadata.name),
    [`${prefix}version`]: metadata.version,
    [`${prefix}url`]: clean(metadata.home),
    [`${prefix}source`]: clean(metadata.sources?.[0]),
    [`${prefix}authors`]: authors,
  }).filter((entry): entry is [string, string] => (entry[1] ?? '').trim() !== '');
  const foreign = Object.entries(metadata.annotations ?? {}).filter(
    ([key]) => key !== `${prefix}title` && key !== `${prefix}version`,
  );
  return sorted(Object.fromEntries([...own, ...foreign]));
}
