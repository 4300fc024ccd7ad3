import { InvalidArgumentError } from 'commander';
import type { Owner } from '../../fleet/kubernetes-template.ts';
import type { CommandLine, CommonOptions } from '../command-line.ts';
import type { KubernetesJobOptions } from './kubernetes-job.ts';

/** Declares `kubernetes-job`. */
export function declareKubernetesJob({ job, start }: CommandLine): void {
  job(
    'kubernetes-job',
    'have the shards of a run copied by an Indexed Job of the cluster that this pod is in, wait for it, and sum up',
    'npx image-replication kubernetes-job --shards s3://runs/daily/2026-11-21 --template workers.yaml',
  )
    .requiredOption('--shards <location>', 'folder of the run, as planned: a directory or s3://bucket/prefix/RUN')
    .requiredOption('--template <file>', 'the Job of the workers, as the chart in deploy/chart renders it')
    .option('--owner <name/uid>', 'the Job whose pod this is: the workers end with it', owner)
    .option('--interval <seconds>', 'between two looks at the Job', seconds, 10)
    .option('--must-run', 'fail where an earlier run still goes on, instead of ending well')
    .option(
      '--service-account <dir>',
      "token, ca.crt and namespace of the pod's service account (default: where Kubernetes mounts them)",
    )
    .action(async (options: CommonOptions & KubernetesJobOptions) => {
      const { runKubernetesJob } = await import('./kubernetes-job.ts');
      await start('kubernetes-job', options, (session) => runKubernetesJob(session, options));
    });
}

function owner(text: string): Owner {
  const [, name, uid] = /^([^/]+)\/([^/]+)$/.exec(text) ?? [];
  if (name !== undefined && uid !== undefined) return { name, uid };
  throw new InvalidArgumentError('expected NAME/UID of a Job');
}

function seconds(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 3_600) return value;
  throw new InvalidArgumentError('expected a number of seconds above 0, at most 3600');
}
