import * as z from 'zod';
import { containerName } from '../../deploy/aws/state-machine-tasks.ts';
import type { Own } from './front.ts';

/** What RunTask was asked to run. */
export interface TaskRequest {
  /** `plan`, `worker`, …: the name of the task definition. */
  readonly kind: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** An error of ECS's, by its code; `undefined` when the task begins. */
export type Refusal = { readonly error: string; readonly message: string } | undefined;

const RunTask = z.object({
  cluster: z.string(),
  taskDefinition: z.string(),
  launchType: z.literal('FARGATE'),
  networkConfiguration: z.object({
    awsvpcConfiguration: z.object({
      subnets: z.array(z.string()).length(2),
      securityGroups: z.array(z.string()).length(1),
      assignPublicIp: z.enum(['ENABLED', 'DISABLED']),
    }),
  }),
  overrides: z.object({
    containerOverrides: z
      .array(
        z.object({
          name: z.literal(containerName),
          command: z.array(z.string()),
          environment: z.array(z.object({ name: z.string(), value: z.string() })),
        }),
      )
      .length(1),
  }),
});

/** ECS as far as Step Functions needs it: a task is whatever `start` makes of it. */
export function ecsStandIn(start: (task: TaskRequest) => Refusal): Own {
  let started = 0;
  return ({ service, target, body }) => {
    if (service !== 'ecs') return undefined;
    const operation = target.split('.').at(-1);
    if (operation === 'DescribeTasks') return { status: 200, body: { tasks: [{ lastStatus: 'PROVISIONING' }] } };
    const parsed = RunTask.safeParse(JSON.parse(body));
    if (operation !== 'RunTask' || !parsed.success)
      return refused({ error: 'InvalidParameterException', message: parsed.error?.message ?? String(operation) });
    const { cluster, taskDefinition, overrides } = parsed.data;
    const [container] = overrides.containerOverrides;
    const refusal = start({
      kind: /^replication-(\w+)$/.exec(taskDefinition)?.[1] ?? 'unknown',
      command: container?.command ?? [],
      environment: Object.fromEntries((container?.environment ?? []).map(({ name, value }) => [name, value])),
    });
    if (refusal !== undefined) return refused(refusal);
    started += 1;
    const task = { taskArn: `${cluster}/${started}`, clusterArn: cluster, taskDefinitionArn: taskDefinition };
    return { status: 200, body: { tasks: [task], failures: [] } };
  };
}

function refused({ error, message }: NonNullable<Refusal>) {
  return { status: 400, body: { __type: error, message } };
}
