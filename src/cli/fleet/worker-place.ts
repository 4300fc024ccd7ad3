import { hostname } from 'node:os';
import * as z from 'zod';
import { type EnvironmentVariables, variable } from '../environment.ts';

/** Where a worker runs, and where its log is read. */
export interface WorkerPlace {
  readonly worker: string;
  /** Address of the log, where it is known. */
  readonly log: string | undefined;
}

/** https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html */
const Container = z.object({
  LogOptions: z.object({ 'awslogs-group': z.string(), 'awslogs-region': z.string(), 'awslogs-stream': z.string() }),
});

const patienceMs = 2_000;

/** In a task of ECS its own log, else the host's name, which in Kubernetes is the pod's. */
export async function workerPlace(env: EnvironmentVariables): Promise<WorkerPlace> {
  const worker = hostname();
  const metadata = variable(env, 'ECS_CONTAINER_METADATA_URI_V4');
  if (metadata === undefined) return { worker, log: undefined };
  try {
    const answer = await fetch(metadata, { signal: AbortSignal.timeout(patienceMs) });
    const { LogOptions: options } = Container.parse(await answer.json());
    const [region, stream] = [options['awslogs-region'], options['awslogs-stream']];
    return { worker: stream, log: logAddress(region, options['awslogs-group'], stream) };
  } catch {
    // A name in a note; the log is found without it, too.
    return { worker, log: undefined };
  }
}

/** Page of a log stream in the console; names are written in its own way there. */
export function logAddress(region: string, group: string, stream: string): string {
  const [group_, stream_] = [group, stream].map((name) =>
    encodeURIComponent(encodeURIComponent(name)).replaceAll('%', '$'),
  );
  return `${consoleOf(region)}/cloudwatch/home?region=${region}#logsV2:log-groups/log-group/${group_ ?? ''}/log-events/${stream_ ?? ''}`;
}

/** AWS's console in the partition of a region. */
export function consoleOf(region: string): string {
  if (region.startsWith('cn-')) return `https://${region}.console.amazonaws.cn`;
  if (region.startsWith('us-gov-')) return `https://${region}.console.amazonaws-us-gov.com`;
  return `https://${region}.console.aws.amazon.com`;
}
