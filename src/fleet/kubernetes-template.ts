import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import * as z from 'zod';
import { ReplicationError } from '../model/errors.ts';
import type { JobObject } from './kubernetes-api.ts';

const Container = z.looseObject({ name: z.string(), env: z.array(z.looseObject({ name: z.string() })).optional() });

/** A Job that lacks only what one run adds: how many indexes there are, and where the run folder lies. */
const JobTemplate = z.looseObject({
  apiVersion: z.literal('batch/v1'),
  kind: z.literal('Job'),
  metadata: z.looseObject({
    name: z.string().min(1),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  spec: z.looseObject({
    completionMode: z.literal('Indexed'),
    parallelism: z.number().int().positive().optional(),
    template: z.looseObject({ spec: z.looseObject({ containers: z.array(Container).min(1) }) }),
  }),
});
export type JobTemplate = z.infer<typeof JobTemplate>;

/** The object that a Job belongs to: Kubernetes takes the Job away together with it. */
export interface Owner {
  readonly name: string;
  readonly uid: string;
}

/** One run, as its Job tells it. */
export interface RunOfShards {
  /** Run folder: a directory or an s3:// address. */
  readonly location: string;
  readonly shards: number;
  /** The Job whose pod submits. */
  readonly owner?: Owner | undefined;
}

/** The variable by which containers learn the run folder; Kubernetes puts it into their arguments. */
export const locationVariable = 'SHARDS_LOCATION';
const locationAnnotation = 'image-replication/location';
const shardsAnnotation = 'image-replication/shards';

/** Reads the Job that the chart has rendered. @throws ReplicationError `configuration` */
export async function readJobTemplate(path: string): Promise<JobTemplate> {
  const remedy = "name the Job of the chart's ConfigMap with --template";
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ReplicationError('configuration', `cannot read the Job template ${path}`, { remedy, cause });
  }
  try {
    const checked = JobTemplate.safeParse(parse(text));
    if (checked.success) return checked.data;
    throw new ReplicationError('configuration', `${path} is no Indexed Job: ${z.prettifyError(checked.error)}`, {
      remedy,
    });
  } catch (cause) {
    if (cause instanceof ReplicationError) throw cause;
    throw new ReplicationError('configuration', `the Job template ${path} is no YAML: ${String(cause)}`, {
      remedy,
      cause,
    });
  }
}

/** The Job of one run: an index for each shard, and never more pods than those. */
export function jobOf(template: JobTemplate, run: RunOfShards): JobTemplate {
  const { metadata, spec } = template;
  const env = { name: locationVariable, value: run.location };
  const pod = spec.template.spec;
  // First, as variables may use only those before them: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
  const containers = pod.containers.map((each) => ({
    ...each,
    env: [env, ...(each.env ?? []).filter(({ name }) => name !== locationVariable)],
  }));
  return {
    ...template,
    metadata: {
      ...metadata,
      annotations: {
        ...metadata.annotations,
        [locationAnnotation]: run.location,
        [shardsAnnotation]: String(run.shards),
      },
      ...(run.owner === undefined ? {} : { ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', ...run.owner }] }),
    },
    spec: {
      ...spec,
      completions: run.shards,
      parallelism: Math.min(spec.parallelism ?? 1, run.shards),
      template: { ...spec.template, spec: { ...pod, containers } },
    },
  };
}

/** Which run a Job of the cluster belongs to; `undefined` when nothing of ours has made it. */
export function runOf(job: JobObject): RunOfShards | undefined {
  const location = job.metadata.annotations?.[locationAnnotation];
  if (location === undefined) return undefined;
  const [owner] = job.metadata.ownerReferences ?? [];
  return {
    location,
    shards: job.spec.completions ?? 0,
    ...(owner === undefined ? {} : { owner: { name: owner.name, uid: owner.uid } }),
  };
}
