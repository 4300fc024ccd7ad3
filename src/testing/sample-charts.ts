import { stringify } from 'yaml';
import type { ChartPackage } from './chart-server.ts';
import { type ArchiveFile, tarGzOf } from './tar-archive.ts';

export interface ChartSpec {
  readonly name: string;
  readonly version: string;
  readonly appVersion?: string | undefined;
  readonly values?: Readonly<Record<string, unknown>> | undefined;
  /** By file name below `templates/`. */
  readonly templates?: Readonly<Record<string, string>> | undefined;
  /** Charts below `charts/`, with the alias under which they are used too. */
  readonly subcharts?:
    readonly { readonly chart: ChartSpec; readonly aliases?: readonly string[] | undefined }[] | undefined;
  /** Further files, by path inside the chart. */
  readonly files?: Readonly<Record<string, string>> | undefined;
  /** Further keys of Chart.yaml. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly provenance?: string | undefined;
}

/** Packages a chart as `helm package` would, with bytes that depend on the specification only. */
export function packageChart(spec: ChartSpec): ChartPackage {
  return {
    file: `${spec.name}-${spec.version}.tgz`,
    bytes: tarGzOf(chartFiles(spec, spec.name)),
    ...(spec.provenance === undefined ? {} : { provenance: spec.provenance }),
  };
}

function chartFiles(spec: ChartSpec, folder: string): readonly ArchiveFile[] {
  const dependencies = (spec.subcharts ?? []).flatMap(({ chart, aliases }) => {
    const base = { name: chart.name, version: chart.version, repository: '' };
    return [base, ...(aliases ?? []).map((alias) => ({ ...base, alias }))];
  });
  const metadata = {
    apiVersion: 'v2',
    name: spec.name,
    version: spec.version,
    ...(spec.appVersion === undefined ? {} : { appVersion: spec.appVersion }),
    description: `sample chart ${spec.name}`,
    type: 'application',
    ...(dependencies.length === 0 ? {} : { dependencies }),
    ...spec.metadata,
  };
  const named = (under: string, files: Readonly<Record<string, string>> = {}): readonly ArchiveFile[] =>
    Object.entries(files).map(([path, content]) => ({ path: `${folder}/${under}${path}`, content }));
  return [
    { path: `${folder}/Chart.yaml`, content: stringify(metadata) },
    { path: `${folder}/values.yaml`, content: stringify(spec.values ?? {}) },
    ...named('templates/', spec.templates),
    ...named('', spec.files),
    ...(spec.subcharts ?? []).flatMap(({ chart }) => chartFiles(chart, `${folder}/charts/${chart.name}`)),
  ];
}

/** A Deployment whose pod holds these containers (YAML of the list, unindented). */
export function deployment(containers: string, more = ''): string {
  const indented = (text: string, by: number): string => text.trim().replace(/^/gm, ' '.repeat(by));
  return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-{{ .Chart.Name }}
  labels:
    app.kubernetes.io/name: {{ .Chart.Name }}
spec:
  replicas: {{ .Values.replicas | default 1 }}
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ .Chart.Name }}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{ .Chart.Name }}
    spec:
${more === '' ? '' : `${indented(more, 6)}\n`}      containers:
${indented(containers, 8)}
`;
}

/** Hosts that the sample charts name: one that everybody may pull from, one that wants credentials. */
export interface SampleHosts {
  readonly open: string;
  readonly private: string;
}

/** Names that nobody can own (RFC 2606): whoever serves the samples maps or routes them. */
export const sampleHosts: SampleHosts = { open: 'registry.example.com', private: 'vault.example.com' };

const cache: ChartSpec = {
  name: 'cache',
  version: '0.5.0',
  appVersion: '7.2.1',
  values: { image: { registry: '', repository: 'team/cache', tag: '' } },
  templates: {
    'deployment.yaml': deployment(
      '- name: cache\n  image: "{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"',
    ),
  },
};

/**
 * The sample charts: each way in which charts write image references.
 * @param pinnedDigest digest of the image `team/pinned:2.0.0`
 */
export function sampleChartSpecs(hosts: SampleHosts, pinnedDigest: string): readonly ChartSpec[] {
  return [
    {
      name: 'web',
      version: '1.2.0',
      appVersion: '1.2.0',
      values: {
        image: { registry: hosts.open, repository: 'team/web', tag: '1.2.0' },
        init: { image: { registry: hosts.open, repository: 'team/init', tag: '1.0' } },
      },
      templates: {
        'deployment.yaml': deployment(
          '- name: web\n  image: "{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
          'initContainers:\n  - name: init\n    image: "{{ .Values.init.image.registry }}/{{ .Values.init.image.repository }}:{{ .Values.init.image.tag }}"',
        ),
      },
      provenance: '-----BEGIN PGP SIGNED MESSAGE-----\nsample provenance of web\n-----END PGP SIGNATURE-----\n',
    },
    {
      // Without a host: what Docker Hub's short names look like.
      name: 'worker',
      version: '5.1.3',
      values: { image: { repository: 'sample/worker', tag: '5.1' } },
      templates: {
        'deployment.yaml': deployment(
          '- name: worker\n  image: {{ .Values.image.repository }}:{{ .Values.image.tag }}',
        ),
      },
    },
    {
      name: 'gateway',
      version: '1.4.2',
      values: { image: `${hosts.private}/team/gateway:1.4.2` },
      templates: { 'deployment.yaml': deployment('- name: gateway\n  image: {{ .Values.image | quote }}') },
    },
    {
      // The tag is the appVersion with a prefix, and the chart's version has build metadata, which no tag can hold.
      name: 'agent',
      version: '1.0.0+build.7',
      appVersion: '2.3.4',
      values: { image: { repository: `${hosts.open}/team/agent`, tag: '' } },
      templates: {
        'deployment.yaml': deployment(
          '- name: agent\n  image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "v%s" .Chart.AppVersion) }}"',
        ),
      },
    },
    {
      name: 'platform',
      version: '3.0.0',
      values: {
        cache: { image: { registry: hosts.open } },
        sessions: { image: { registry: hosts.open, tag: '7.0.9' } },
      },
      subcharts: [{ chart: cache, aliases: ['sessions'] }],
    },
    {
      name: 'pinned',
      version: '2.0.0',
      values: { image: { registry: hosts.open, repository: 'team/pinned', tag: '2.0.0', digest: pinnedDigest } },
      templates: {
        'deployment.yaml': deployment(
          '- name: pinned\n  image: "{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}{{ with .Values.image.digest }}@{{ . }}{{ end }}"',
        ),
      },
    },
    {
      // The helper's image is in the template: no value moves it.
      name: 'installer',
      version: '0.9.0',
      values: { image: { repository: `${hosts.open}/team/installer`, tag: '0.9.0' } },
      templates: {
        'deployment.yaml': deployment(
          `- name: installer\n  image: {{ .Values.image.repository }}:{{ .Values.image.tag }}\n- name: helper\n  image: ${hosts.open}/helper/shell:1.0`,
        ),
      },
    },
    {
      name: 'operator',
      version: '3.1.0',
      values: {
        image: { repository: `${hosts.private}/operators/operator`, tag: '3.1.0' },
        operand: { image: `${hosts.private}/operators/operand:3.1.0` },
      },
      templates: {
        'deployment.yaml': deployment(
          '- name: operator\n  image: {{ .Values.image.repository }}:{{ .Values.image.tag }}\n  env:\n    - name: RELATED_IMAGE_OPERAND\n      value: {{ .Values.operand.image }}',
        ),
      },
    },
  ];
}
