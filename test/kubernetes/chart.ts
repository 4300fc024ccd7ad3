import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse, parseAllDocuments, stringify } from 'yaml';
import * as z from 'zod';
import { jobOf, readJobTemplate } from '../../src/fleet/kubernetes-template.ts';
import { requireTool, root } from '../tools.ts';

const run = promisify(execFile);
export const chart = join(root, 'deploy/chart');

/** Values that the chart gives to every pod, whatever the pod is for. */
export const podSettings = {
  imagePullSecrets: [{ name: 'pull' }],
  podAnnotations: { a: 'b' },
  podLabels: { team: 'x' },
  priorityClassName: 'low',
  nodeSelector: { 'kubernetes.io/arch': 'arm64' },
  tolerations: [{ key: 'a', operator: 'Exists' }],
  affinity: { nodeAffinity: {} },
};

/** An object as helm renders it. */
export const Rendered = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
  data: z.record(z.string(), z.string()).optional(),
  rules: z.array(z.record(z.string(), z.array(z.string()))).optional(),
  spec: z.unknown().optional(),
});
export type Rendered = z.infer<typeof Rendered>;

/** What `helm template` makes of values. @throws Error with helm's own words */
export async function render(
  folder: string,
  values: object,
  options: {
    readonly helm?: string;
    readonly version?: string;
    readonly release?: string;
    readonly namespace?: string;
  } = {},
): Promise<string> {
  const file = join(folder, `${randomUUID()}.values.json`);
  await writeFile(file, JSON.stringify(values));
  const { release = 'dmi', namespace = 'tools', version = '1.34.0' } = options;
  const args = ['template', release, chart, '--namespace', namespace, '--kube-version', version, '-f', file];
  return (await run(requireTool(options.helm ?? 'helm3'), args)).stdout;
}

/** @throws Error with what `helm lint` finds */
export async function lint(folder: string, values: object, helm: string): Promise<void> {
  const file = join(folder, 'lint.json');
  await writeFile(file, JSON.stringify(values));
  try {
    await run(requireTool(helm), ['lint', '--strict', chart, '--kube-version', '1.34.0', '-f', file]);
  } catch (error) {
    throw error instanceof Error && 'stdout' in error ? new Error(`${error.message}${String(error.stdout)}`) : error;
  }
}

export function objectsIn(text: string): readonly Rendered[] {
  return parseAllDocuments(text).map((document) => Rendered.parse(document.toJS()));
}

export function objectOf(objects: readonly Rendered[], kind: string, name = ''): Rendered {
  const found = objects.find((each) => each.kind === kind && each.metadata.name.endsWith(name));
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
}

/** The Job that the program makes of the ConfigMap's template, as YAML. */
export async function workersJob(folder: string, objects: readonly Rendered[]): Promise<string> {
  const path = join(folder, 'workers.yaml');
  await writeFile(path, objectOf(objects, 'ConfigMap', '-fleet').data?.['workers.yaml'] ?? '');
  const owner = { name: 'dmi-1', uid: '7f2c9d5e-0000-4000-8000-000000000000' };
  return stringify(jobOf(await readJobTemplate(path), { location: 's3://runs/a/1', shards: 12, owner }));
}

/**
 * What the API server of a Kubernetes version would find wrong with objects, unknown fields among it
 * (https://pypi.org/project/kubernetes-validate/ carries Kubernetes' own schemas).
 */
export async function faultsOf(folder: string, text: string, version: string): Promise<string> {
  const path = join(folder, 'objects.yaml');
  await writeFile(path, text);
  const args = ['--strict', '--quiet', '-k', version, path];
  try {
    const { stdout, stderr } = await run(requireTool('kubernetes-validate'), args);
    return stdout + stderr;
  } catch (error) {
    if (error instanceof Error && 'stdout' in error && 'stderr' in error)
      return `${String(error.stdout)}${String(error.stderr)}`;
    throw error;
  }
}

const Env = z.object({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: z
    .object({
      fieldRef: z.object({ fieldPath: z.string() }).optional(),
      secretKeyRef: z.object({ optional: z.boolean() }).optional(),
    })
    .optional(),
});
const Container = z.looseObject({
  name: z.string(),
  args: z.array(z.string()),
  env: z.array(Env),
  securityContext: z.looseObject({}),
  resources: z.looseObject({}),
  volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().optional() })),
});
export type Container = z.infer<typeof Container>;
export const PodTemplate = z.looseObject({
  metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
  spec: z.looseObject({
    automountServiceAccountToken: z.boolean(),
    securityContext: z.looseObject({}),
    initContainers: z.array(Container).default([]),
    containers: z.array(Container),
    volumes: z.array(z.looseObject({ name: z.string() })),
  }),
});
export type PodTemplate = z.infer<typeof PodTemplate>;
export const JobSpec = z.looseObject({ template: PodTemplate });

/** The pod that plans, submits and sums up: of the CronJob, or of the Job. */
export function runPod(objects: readonly Rendered[]): PodTemplate {
  const owner = objects.find(({ kind }) => kind === 'CronJob' || kind === 'Job');
  if (owner?.kind === 'Job') return JobSpec.parse(owner.spec).template;
  return z.object({ jobTemplate: z.object({ spec: JobSpec }) }).parse(owner?.spec).jobTemplate.spec.template;
}

/** The pod of a worker, from the ConfigMap. */
export function workerPod(objects: readonly Rendered[]): PodTemplate {
  const job: unknown = parse(objectOf(objects, 'ConfigMap', '-fleet').data?.['workers.yaml'] ?? '');
  return z.object({ spec: JobSpec }).parse(job).spec.template;
}
