import type { ChildProcess } from 'node:child_process';
import * as z from 'zod';
import type { StoredJob } from '../../src/testing/kubernetes-server.ts';
import { type ProgramRun, startProgram, type Variables } from '../program.ts';
import { type Container, JobSpec, type PodTemplate } from './chart.ts';

/** What a kubelet knows of a pod beyond its template. */
export interface PodIdentity {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Node {
  /** Folder of each volume, by name. */
  readonly volumes: Readonly<Record<string, string>>;
  /** Variables that every container gets, such as KUBERNETES_SERVICE_HOST. */
  readonly env: Variables;
  /** Told of each process as it starts. */
  readonly started?: (container: string, index: string | undefined, process: ChildProcess) => void;
}

/**
 * Runs a container's program as a process of this machine, with the arguments and variables that a kubelet would give it.
 * Paths below a mount become paths below the volume's folder, as there is no file system of the container's own.
 */
export async function runContainer(
  node: Node,
  pod: PodIdentity,
  container: Container,
  more: { readonly env?: Variables; readonly args?: readonly string[] } = {},
): Promise<ProgramRun> {
  const mounts = container.volumeMounts.map(({ name, mountPath }) => {
    const folder = node.volumes[name];
    if (folder === undefined) throw new Error(`no folder for the volume ${name}`);
    return [mountPath, folder] as const;
  });
  const paths = new RegExp(`(^|:)(${mounts.map(([path]) => path).join('|')})(?=/|$)`);
  const folders = new Map(mounts);
  // The run folder that a Job names is one of this machine already.
  const placed = (text: string): string =>
    mounts.some(([, folder]) => text.startsWith(folder))
      ? text
      : text.replace(paths, (_, before: string, path: string) => before + (folders.get(path) ?? path));
  const env: Record<string, string | undefined> = {};
  for (const each of container.env) {
    const value = each.value ?? fieldOf(pod, each.valueFrom?.fieldRef?.fieldPath);
    if (value === undefined && each.valueFrom?.secretKeyRef?.optional !== true)
      throw new Error(`no value for ${each.name}`);
    if (value !== undefined) env[each.name] = placed(expanded(value, env));
  }
  const args = [...container.args.map((arg) => placed(expanded(arg, env))), ...(more.args ?? [])];
  const given = { ...node.env, ...env, ...more.env };
  const { process, ended } = startProgram(args, given);
  node.started?.(container.name, given['JOB_COMPLETION_INDEX'], process);
  return ended;
}

/** https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/ */
function expanded(text: string, env: Variables): string {
  return text.replace(/\$\((\w+)\)/g, (whole, name: string) => env[name] ?? whole);
}

function fieldOf(pod: PodIdentity, path: string | undefined): string | undefined {
  if (path === 'metadata.name') return pod.name;
  return pod.labels[/^metadata\.labels\['(.+)'\]$/.exec(path ?? '')?.[1] ?? ''];
}

const Spec = JobSpec.extend({
  completions: z.number(),
  parallelism: z.number(),
  backoffLimitPerIndex: z.number(),
});

/** What the Job controller does with an Indexed Job: its pods, index by index, again where one fails, and its status. */
export async function controlJob(node: Node, job: StoredJob): Promise<void> {
  const { completions, parallelism, backoffLimitPerIndex, template } = Spec.parse(job.spec);
  const state = { active: 0, succeeded: 0, failed: 0, failedIndexes: '' };
  const publish = (more: object = {}): void => void (job.status = { ...state, ...more });
  const waiting = Array.from({ length: completions }, (_, index) => index);
  const lane = async (): Promise<void> => {
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
      state.active += 1;
      publish();
      const done = await runIndex(node, job, template, index, backoffLimitPerIndex, () => (state.failed += 1));
      state.active -= 1;
      if (done) state.succeeded += 1;
      else state.failedIndexes = [...state.failedIndexes.split(',').filter((each) => each !== ''), index].join(',');
    }
  };
  await Promise.all(Array.from({ length: parallelism }, lane));
  const type = state.failedIndexes === '' ? 'Complete' : 'Failed';
  publish({ conditions: [{ type, status: 'True', ...(type === 'Failed' ? { reason: 'FailedIndexes' } : {}) }] });
}

async function runIndex(
  node: Node,
  job: StoredJob,
  template: PodTemplate,
  index: number,
  retries: number,
  failed: () => void,
): Promise<boolean> {
  const [container] = template.spec.containers;
  if (container === undefined) throw new Error('a pod without containers');
  for (let attempt = 0; attempt <= retries; attempt += 1) {
    const pod = { name: `${job.metadata.name}-${index}-${attempt}`, labels: template.metadata.labels };
    const { status } = await runContainer(node, pod, container, { env: { JOB_COMPLETION_INDEX: String(index) } });
    if (status === 0) return true;
    failed();
    // The podFailurePolicy of the chart.
    if (status === 2) return false;
  }
  return false;
}
