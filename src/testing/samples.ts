import { stringify } from 'yaml';
import type { ChartPackage } from './chart-server.ts';
import { buildImage, type ImageContent, withCosignTag, withReferrer } from './image-builder.ts';
import { baseLayer, emptyLayer, tarLayer, zstdLayer } from './image-layers.ts';
import type { RegistryServer } from './registry-server.ts';
import { packageChart, sampleChartSpecs, type SampleHosts, sampleHosts } from './sample-charts.ts';

/** An image and the place where the sample charts expect it. */
export interface SampleImage {
  /** Which of the two hosts. Images without a host are on the open one (a docker mapping leads there). */
  readonly host: keyof SampleHosts;
  readonly repository: string;
  readonly tag: string;
  readonly image: ImageContent;
}

/** Every image that the sample charts and their data files name; all for linux/amd64 and linux/arm64 but one. */
export function sampleImages(): readonly SampleImage[] {
  const at = (host: keyof SampleHosts, repository: string, tag: string, image: ImageContent): SampleImage => ({
    host,
    repository,
    tag,
    image,
  });
  const named = (name: string): ImageContent => buildImage({ name });
  const docker = (name: string): ImageContent => buildImage({ name, format: 'docker' });
  const web = buildImage({ name: 'web', attestations: true });
  const odd = buildImage({
    name: 'cache',
    nested: true,
    layers: (platform) => {
      const own = zstdLayer([{ path: 'opt/cache', content: platform }]);
      return [baseLayer(), emptyLayer(), own, emptyLayer()];
    },
  });
  return [
    at('open', 'team/web', '1.2.0', withReferrer(withCosignTag(web), { fallbackTag: true })),
    at('open', 'team/init', '1.0', docker('init')),
    at('open', 'sample/worker', '5.1', named('worker')),
    at('private', 'team/gateway', '1.4.2', named('gateway')),
    at('open', 'team/agent', 'v2.3.4', docker('agent')),
    at('open', 'team/cache', '7.2.1', odd),
    at('open', 'team/cache', '7.0.9', named('cache-7.0')),
    at('open', 'team/pinned', '2.0.0', pinned()),
    at('open', 'team/installer', '0.9.0', named('installer')),
    at('open', 'helper/shell', '1.0', named('shell')),
    at('private', 'operators/operator', '3.1.0', withCosignTag(named('operator'))),
    at('private', 'operators/operand', '3.1.0', named('operand')),
    at('open', 'team/node-tools', '0.9', nodeTools()),
  ];
}

function pinned(): ImageContent {
  return buildImage({ name: 'pinned' });
}

/** A single manifest without index, larger than the others. */
function nodeTools(): ImageContent {
  const content = 'node tools '.repeat(20_000);
  const layers = [baseLayer('docker'), tarLayer([{ path: 'opt/tools', content }], 'docker')];
  return buildImage({
    name: 'node-tools',
    format: 'docker',
    platforms: ['linux/amd64'],
    index: false,
    layers: () => layers,
  });
}

/** Writes an image straight into a server's storage. */
export async function pushImage(
  server: RegistryServer,
  repository: string,
  tag: string | undefined,
  image: ImageContent,
): Promise<void> {
  await server.putImage(repository, tag, image);
}

/** Writes all sample images into two servers. */
export async function pushSampleImages(servers: Readonly<Record<keyof SampleHosts, RegistryServer>>): Promise<void> {
  for (const { host, repository, tag, image } of sampleImages()) {
    await pushImage(servers[host], repository, tag, image);
  }
}

/** The sample charts as packages. Hosts may carry a port. */
export function sampleCharts(hosts: SampleHosts = sampleHosts): readonly ChartPackage[] {
  return sampleChartSpecs(hosts, pinned().digest).map(packageChart);
}

/** What each sample chart renders with its own values, sorted. */
export function sampleReferences(hosts: SampleHosts = sampleHosts): Readonly<Record<string, readonly string[]>> {
  return {
    web: [`${hosts.open}/team/init:1.0`, `${hosts.open}/team/web:1.2.0`],
    worker: ['sample/worker:5.1'],
    gateway: [`${hosts.private}/team/gateway:1.4.2`],
    agent: [`${hosts.open}/team/agent:v2.3.4`],
    platform: [`${hosts.open}/team/cache:7.0.9`, `${hosts.open}/team/cache:7.2.1`],
    pinned: [`${hosts.open}/team/pinned:2.0.0@${pinned().digest}`],
    installer: [`${hosts.open}/helper/shell:1.0`, `${hosts.open}/team/installer:0.9.0`],
    operator: [`${hosts.private}/operators/operand:3.1.0`, `${hosts.private}/operators/operator:3.1.0`],
  };
}

export interface SampleDataOptions {
  /** Address of the chart repository that serves the sample charts. */
  readonly chartRepository: string;
  /** Where the hosts of the samples really are; `default` for references without host. */
  readonly dockerMappings: Readonly<Record<string, string>>;
  readonly hosts?: SampleHosts | undefined;
}

/** Data files for the sample charts, as texts: every form of image path that design and original know. */
export function sampleDataFiles(options: SampleDataOptions): { readonly defaults: string; readonly version: string } {
  const hosts = options.hosts ?? sampleHosts;
  const values = (path: string, subchart?: string): unknown => ({
    location: 'values',
    path,
    ...(subchart === undefined ? {} : { subchart }),
  });
  const parts = (path: string): unknown => ({
    registry: values(`${path}.registry`),
    repository: values(`${path}.repository`),
    tag: values(`${path}.tag`),
  });
  const pair = (path: string): unknown => ({ repository: values(`${path}.repository`), tag: values(`${path}.tag`) });
  const chart = (name: string, version: string, images: unknown, more: object = {}): unknown => ({
    name,
    repository: options.chartRepository,
    version,
    ...more,
    images,
  });
  const charts = {
    agent: chart('agent', '1.0.0+build.7', {
      agent: {
        repository: values('image.repository'),
        tag: { location: 'chart', path: 'appVersion', prefix: 'v' },
      },
    }),
    gateway: chart('gateway', '1.4.2', { gateway: { repository: values('image') } }),
    installer: chart('installer', '0.9.0', {
      installer: pair('image'),
      helper: { repository: { name: `${hosts.open}/helper/shell` }, tag: { name: '1.0' } },
    }),
    operator: chart('operator', '3.1.0', {
      operator: pair('image'),
      operand: { repository: values('operand.image') },
    }),
    pinned: chart('pinned', '2.0.0', { pinned: parts('image') }),
    platform: chart(
      'platform',
      '3.0.0',
      {
        cache: {
          registry: values('image.registry', 'cache'),
          repository: values('image.repository', 'cache'),
          tag: { location: 'chart', path: 'appVersion', subchart: 'cache' },
        },
        sessions: {
          registry: values('image.registry', 'sessions'),
          repository: values('image.repository', 'sessions'),
          tag: values('image.tag', 'sessions'),
        },
      },
      { subcharts: ['cache', 'sessions'] },
    ),
    web: chart('web', '1.2.0', { web: parts('image'), init: parts('init.image') }),
    worker: chart('worker', '5.1.3', { worker: pair('image') }),
  };
  return {
    defaults: stringify({ charts }),
    version: stringify({
      ami: { version: '1.0.0-sample' },
      charts: Object.fromEntries(Object.keys(charts).map((key) => [key, {}])),
      additional_images: { node_tools: `${hosts.open}/team/node-tools:0.9` },
      docker_mappings: options.dockerMappings,
    }),
  };
}
