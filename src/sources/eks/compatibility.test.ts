import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChartContent } from './chart-content.ts';
import { loadDataFiles } from './data-files.ts';
import { type EksPlan, planEks } from './plan.ts';

// Data files in the shape of the original module's (block style, lists of subcharts, tags of the chart, values to
// remove, replaced tags, comments), with charts that hold what they name. What is expected here is what the original's
// get_list_eks_images.py writes for them, but for `appVersion`: it wrote that key into the values of every chart with
// `location: chart`, and charts with a strict schema refuse it.
const defaultYaml = `charts:
  operator:
    name: sample-operator
    repository: "https://docs.example.org/charts/"
    version: v3.21.4
    images:
      node:
        registry:
          location: values
          path: operator.registry
        repository:
          name: sample/node
        tag:
          location: chart
          path: appVersion
      operator:
        registry:
          location: values
          path: operator.registry
        repository:
          location: values
          path: operator.image
        tag:
          location: values
          path: operator.version
      ctl:
        repository:
          location: values
          path: ctl.image
        tag:
          location: values
          path: ctl.tag
  scaler:
    images:
      scaler:
        repository:
          location: values
          path: image.repository
        tag:
          location: values
          path: image.tag
    name: scaler
    repository: https://scaler.example.io
    version: 9.11.0
  ingress:
    images:
      webhooks:
        registry:
          location: values
          path: controller.patch.image.registry
        remove:
          path: controller.patch.image.digest
        repository:
          location: values
          path: controller.patch.image.image
        tag:
          location: values
          path: controller.patch.image.tag
    name: ingress
    repository: "https://example.github.io/ingress"
    version: 4.10.0
  reporter:
    images:
      ui:
        registry:
          location: values
          path: image.registry
          subchart: ui
        repository:
          location: values
          path: image.repository
          subchart: ui
        tag:
          location: chart
          path: appVersion
          prefix: v
          subchart: ui
      cleanup:
        registry:
          location: values
          path: image.registry
        repository:
          location: values
          path: cleanup.image
    name: reporter
    repository: "https://example.github.io/reporter/"
    subcharts:
    - ui
    version: 2.13.0
  network:
    name: network
    repository: "https://example.github.io/network"
    version: 1.1.12
  secrets:
    name: secrets
    repository: "https://secrets.example.io"
    version: 0.7.2
additional_images:
  agent: public.ecr.aws/agent/agent:1.247358.0b252413`;

const versionYaml = `ami:
  version: 1.30.11-20250715
charts:
  operator:
    version: v3.25.1
  scaler:
    version: 9.27.0
    replication:
      scaler:
        tag: v1.26.2
  reporter:
    # skip: true
    version: 2.24.2  # newest
  secrets:
    skip: true
additional_images:
  agent: "public.ecr.aws/agent/agent:1.300041.0b681"
docker_mappings:
  docker.io: hub.example.com/docker-hub
  default: hub.example.com/docker-hub
`;

const noSubcharts = { subcharts: new Map<string, ChartContent>() };
const charts: Readonly<Record<string, Omit<ChartContent, 'name' | 'version'>>> = {
  'sample-operator': {
    metadata: { appVersion: 'v3.25.1' },
    values: {
      operator: { image: 'sample/operator', version: 'v1.29.3', registry: 'quay.io' },
      ctl: { image: 'docker.io/sample/ctl', tag: 'v3.25.1' },
    },
    ...noSubcharts,
  },
  scaler: {
    metadata: { appVersion: '1.24.0' },
    values: { image: { repository: 'registry.k8s.io/scaler', tag: 'v1.24.0' } },
    ...noSubcharts,
  },
  ingress: {
    metadata: { appVersion: '1.10.0' },
    values: {
      controller: {
        patch: { image: { registry: 'registry.k8s.io', image: 'certgen', tag: 'v1.4.0', digest: 'sha256:44' } },
      },
    },
    ...noSubcharts,
  },
  reporter: {
    metadata: { appVersion: '2.20.2' },
    values: { image: { registry: null }, cleanup: { image: 'tools/kubectl:latest' } },
    subcharts: new Map([
      [
        'ui',
        {
          name: 'ui',
          version: '2.10.5',
          metadata: { appVersion: '1.9.2' },
          values: { image: { registry: 'ghcr.io', repository: 'reporter-ui' } },
          ...noSubcharts,
        },
      ],
    ]),
  },
  network: { metadata: {}, values: {}, ...noSubcharts },
};

const registry = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const prefix = `${registry}/idftest-`;

let folder: string;
let planned: EksPlan;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'compatibility-'));
  await writeFile(join(folder, 'default.yaml'), defaultYaml);
  await writeFile(join(folder, '1.30.yaml'), versionYaml);
  expect(existsSync(join(folder, 'SHIPPED.json'))).toBe(false);
  const files = await loadDataFiles({ directories: { shippedDirectory: folder }, eksVersion: '1.30' });
  planned = await planEks(files, {
    prefix,
    platforms: 'all',
    signal: new AbortController().signal,
    readChart: async ({ name, version }) => {
      const chart = charts[name];
      if (chart === undefined) throw new Error(`no chart ${name}`);
      return { ...chart, name, version };
    },
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('data files of the original module', () => {
  it('give the same result', () => {
    const helm = (source: string, name: string, version: string): unknown => ({
      name,
      version,
      repository: `oci://${prefix}${source.replace(/\/$/, '').split('/').at(-1) ?? ''}/${name}`,
      srcRepository: source,
    });
    expect(planned.problems).toEqual([]);
    expect(planned.result).toEqual({
      ami: { version: '1.30.11-20250715' },
      charts: {
        operator: {
          helm: helm('https://docs.example.org/charts/', 'sample-operator', 'v3.25.1'),
          values: {
            operator: { registry: `${prefix}quay.io`, image: 'sample/operator', version: 'v1.29.3' },
            ctl: { image: `${prefix}docker.io/sample/ctl`, tag: 'v3.25.1' },
          },
        },
        scaler: {
          helm: helm('https://scaler.example.io', 'scaler', '9.27.0'),
          values: { image: { repository: `${prefix}registry.k8s.io/scaler`, tag: 'v1.26.2' } },
        },
        ingress: {
          helm: helm('https://example.github.io/ingress', 'ingress', '4.10.0'),
          values: {
            controller: {
              patch: { image: { registry: `${prefix}registry.k8s.io`, image: 'certgen', tag: 'v1.4.0', digest: '' } },
            },
          },
        },
        reporter: {
          helm: helm('https://example.github.io/reporter/', 'reporter', '2.24.2'),
          values: {
            ui: { image: { registry: `${prefix}ghcr.io`, repository: 'reporter-ui' } },
            cleanup: { image: `${prefix}tools/kubectl:latest` },
          },
        },
        network: { helm: helm('https://example.github.io/network', 'network', '1.1.12'), values: {} },
      },
      additional_images: { agent: `${prefix}public.ecr.aws/agent/agent:1.300041.0b681` },
    });
    expect(Object.keys(planned.result.charts)).toEqual(['operator', 'scaler', 'ingress', 'reporter', 'network']);
  });

  it('give the same images in the same order, each once', () => {
    expect(planned.updatedImages.map(({ src, target }) => `${src} -> ${target.slice(prefix.length)}`)).toEqual([
      'public.ecr.aws/agent/agent:1.300041.0b681 -> public.ecr.aws/agent/agent:1.300041.0b681',
      'quay.io/sample/node:v3.25.1 -> quay.io/sample/node:v3.25.1',
      'quay.io/sample/operator:v1.29.3 -> quay.io/sample/operator:v1.29.3',
      'hub.example.com/docker-hub/sample/ctl:v3.25.1 -> docker.io/sample/ctl:v3.25.1',
      'registry.k8s.io/scaler:v1.26.2 -> registry.k8s.io/scaler:v1.26.2',
      'registry.k8s.io/certgen:v1.4.0 -> registry.k8s.io/certgen:v1.4.0',
      'ghcr.io/reporter-ui:v1.9.2 -> ghcr.io/reporter-ui:v1.9.2',
      'hub.example.com/docker-hub/tools/kubectl:latest -> tools/kubectl:latest',
    ]);
  });
});
