/** For tests only: a run of the size that a report has to hold. */
import { digestOf } from '../../model/digest.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import type { Plan } from '../../model/plan.ts';
import type { Outcome } from '../../model/result.ts';
import type { ReportInput } from '../report-data-build.ts';
import { failure, image, isolation, reference, registry, runRecord } from './parts.ts';

const hosts = [
  'docker.io',
  'quay.io',
  'ghcr.io',
  'registry.k8s.io',
  'public.ecr.aws',
  '602401143452.dkr.ecr.us-west-2.amazonaws.com',
];
const teams = ['library', 'prometheus', 'kyverno', 'argoproj', 'bitnami', 'grafana', 'jetstack'];
const nouns = ['operator', 'controller', 'sidecar', 'exporter', 'agent', 'webhook', 'reloader', 'proxy'];
const chartNames = [
  'kyverno',
  'grafana',
  'kube-prometheus-stack',
  'cert-manager',
  'argo-cd',
  'external-dns',
  'aws-ebs-csi-driver',
  'fluent-bit',
];

/** A platform's worth of artifacts: images, eight charts, some of everything that can happen. Always the same. */
export function largeRun(images = 300): ReportInput {
  const sources = Array.from({ length: images }, (_, index) => sourceOf(index));
  const plan: Plan = {
    version: 1,
    job: 'eks',
    images: sources.map((source, index) =>
      image(source, index % 5 === 0 ? { platforms: ['linux/amd64', 'linux/arm64'] } : {}),
    ),
    charts: chartNames.map((name) => ({
      kind: 'chart',
      key: name,
      name,
      version: '1.2.3',
      repository: `https://charts.example.com/${name}`,
      target: `${registry}charts/${name}:1.2.3`,
      values: {},
      origins: [{ path: `charts.${name}` }],
    })),
  };
  const outcomes = [
    ...sources.map(outcomeOf),
    ...plan.charts.map(({ name, target }): Outcome => {
      return {
        kind: 'copied',
        artifact: `chart ${name} 1.2.3`,
        targets: [target],
        digest: digestOf(name),
        bytes: 91_234,
        seconds: 0.4,
      };
    }),
  ].filter((_, index) => index % 97 !== 96);
  const failures = outcomes.flatMap((each) => (each.kind === 'failed' ? each.failures : []));
  const record = runRecord({
    ok: false,
    planned: { images, charts: plan.charts.length, targets: images + 8 },
    outcomes,
    failures,
    notices: [
      { level: 'info', message: 'data file default.yaml: shipped with the module' },
      {
        level: 'warning',
        message: 'docker.io/library/nginx:1.27: 2 referrers were refused by the target as unsupported',
      },
    ],
    retries: [{ host: 'docker.io', reason: 'answer 429', count: 14 }],
    files: ['out/plan.json', 'out/replication_result.json'],
    totals: {
      bytesRead: 8_123_456_789,
      bytesWritten: 9_123_456_789,
      blobsRead: 900,
      blobsWritten: 1100,
      blobsMounted: 40,
      manifestsWritten: 700,
      seconds: 350.2,
      spent: { reading: 300, writing: 310, limited: 4, limitedBy: 'docker.io', cpu: 80 },
    },
  });
  return { record, plan, charts: chartNames.map((name, index) => chartOf(name, index, sources)), remedies: [remedy] };
}

const remedy = {
  chart: 'kube-prometheus-stack',
  text: 'helm post-renderer with kustomize: helm install --post-renderer ./kube-prometheus-stack/post-render.sh',
  file: 'out/consumers/kube-prometheus-stack/kustomization.yaml',
  reaches: ['quay.io/hard-coded/by-the-chart:v2'],
};

function sourceOf(index: number): string {
  const noun = nouns[index % nouns.length] ?? '';
  const version = `v${index % 4}.${index % 13}.${index % 7}`;
  return `${hosts[index % hosts.length] ?? ''}/${teams[index % teams.length] ?? ''}/${noun}-${index}:${version}`;
}

function outcomeOf(source: string, index: number): Outcome {
  const targets = [`${registry}${source}`];
  if (index % 89 === 88) return { kind: 'failed', artifact: source, targets, failures: [failure(source)] };
  if (index % 3 === 0) return { kind: 'unchanged', artifact: source, targets, digest: digestOf(source) };
  const bytes = (index * 7_919_777) % 400_000_000;
  return { kind: 'copied', artifact: source, targets, digest: digestOf(source), bytes, seconds: bytes / 30_000_000 };
}

function chartOf(name: string, index: number, sources: readonly string[]): ChartIsolation {
  const own = sources.slice(index * 6, index * 6 + 6).map((source) => reference(source));
  if (name !== 'kube-prometheus-stack') {
    return isolation(name, {
      references: own,
      conditional: [
        {
          references: [`docker.io/${name}/sidecar:1`],
          valuePath: 'sidecar.image',
          switches: ['sidecar.enabled'],
          copied: index % 2 === 0,
        },
      ],
    });
  }
  const place = {
    template: `${name}/templates/job.yaml`,
    line: 14,
    object: 'Job/monitoring/admission-create',
    field: 'spec.template.spec.containers[0].args[2]',
  };
  return isolation(name, {
    holds: false,
    references: [
      ...own,
      reference('quay.io/hard-coded/by-the-chart:v2', {
        places: [place, { ...place, line: 92 }],
        outcome: 'uncontrolled',
        controlledBy: [],
        proof: 'none',
        kind: 'text',
        why: 'the template writes it as it is',
      }),
      reference('quay.io/in-a/list:1', {
        controlledBy: ['extraContainers[0].image'],
        insideList: true,
        proof: 'failed',
        problem: 'merged as the EKS module merges, the render still names quay.io/in-a/list:1',
      }),
      reference('602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/pause:3.10', {
        outcome: 'allowed',
        controlledBy: [],
        target: undefined,
        digest: undefined,
        proof: 'none',
      }),
    ],
    rejected: [{ text: 'http/1.1:8080', place, why: 'docker.io answered 404: no such image' }],
    derived: [
      {
        template: `${name}/templates/deployment.yaml`,
        before: 'checksum/config: 1a2b',
        after: 'checksum/config: 3c4d',
      },
    ],
    warnings: ['the value networkPolicy is missing, which leaves out 2 objects'],
    problems: ['1 reference that values control is not at the target'],
  });
}
