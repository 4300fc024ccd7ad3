/** A state of the Amazon States Language, as far as its fields are our business: https://states-language.net/spec.html */
export interface State {
  readonly Type: string;
  readonly Catch?: readonly Catcher[];
  readonly [field: string]: unknown;
}
export interface Catcher {
  readonly ErrorEquals: readonly string[];
  readonly ResultPath: string;
  readonly Next: string;
}
export type States = Readonly<Record<string, State>>;

/** How long things may take, in seconds. Tests shorten them; nothing else of the definition changes. */
export interface Times {
  /**
   * A task that said nothing for so long is lost. It counts from RunTask on, so that Fargate's provisioning and the pull
   * of the image are in it, which take a minute or two.
   */
  readonly heartbeat: number;
  /** Before the first repetition of a task; it doubles with each. */
  readonly retry: number;
}

export const usualTimes: Times = { heartbeat: 300, retry: 30 };

/** The name of the container in all task definitions. */
export const containerName = 'image-replication';

/**
 * What a repetition does not mend: images that failed after their own tries, a command line or a right that is wrong.
 * The first two are the names that the tasks themselves report.
 */
const final = ['ImagesFailed', 'Configuration', 'ECS.AccessDeniedException', 'ECS.InvalidParameterException'];

/**
 * Fargate has no capacity, or RunTask is throttled: nothing of ours has run, so it costs no try and may last.
 * https://repost.aws/knowledge-center/ecs-fargate-runtask-capacity,
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
 */
const notStarted = [
  'ECS.AmazonECSException',
  'ECS.ThrottlingException',
  'ECS.ServerException',
  'ECS.LimitExceededException',
  'ECS.SdkClientException',
];

/**
 * How often a task is asked for while it finds no place, in the mean every five minutes. Workers wait for a day, as long as those
 * may take that have the places: an account whose quota of vCPUs is below `maxConcurrency` comes through. Others start alone.
 */
export const startAttempts = { usual: 12, worker: 288 } as const;

interface ContainerTask {
  readonly definition: string;
  /** Path or intrinsic function that gives the container's arguments. */
  readonly command: string;
  /** Seconds; a heartbeat that stays away ends it much earlier. */
  readonly timeout: number;
  readonly times: Times;
  readonly startAttempts?: number;
}

/**
 * Runs a container and waits until it reports by its task token, which reaches it in the environment.
 * Not `.sync`: Step Functions would learn the exit status alone, and only after it has polled; with the token it gets
 * counts and causes, and misses the heartbeat of a container that hangs.
 * https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
 */
export function containerTask(task: ContainerTask): State {
  const { definition, command, timeout, times } = task;
  return {
    Type: 'Task',
    Resource: 'arn:${Partition}:states:::ecs:runTask.waitForTaskToken',
    TimeoutSeconds: timeout,
    HeartbeatSeconds: times.heartbeat,
    Parameters: {
      LaunchType: 'FARGATE',
      Cluster: '${ClusterArn}',
      TaskDefinition: definition,
      NetworkConfiguration: {
        AwsvpcConfiguration: {
          Subnets: ['${SubnetA}', '${SubnetB}'],
          SecurityGroups: ['${SecurityGroup}'],
          AssignPublicIp: '${AssignPublicIp}',
        },
      },
      Overrides: {
        ContainerOverrides: [
          {
            Name: containerName,
            'Command.$': command,
            Environment: [{ Name: 'TASK_TOKEN', 'Value.$': '$$.Task.Token' }],
          },
        ],
      },
    },
    Retry: [
      { ErrorEquals: final, MaxAttempts: 0 },
      {
        ErrorEquals: notStarted,
        IntervalSeconds: times.retry,
        BackoffRate: 2,
        MaxDelaySeconds: 600,
        MaxAttempts: task.startAttempts ?? startAttempts.usual,
        // Shards that found no capacity together do not ask for it together again.
        JitterStrategy: 'FULL',
      },
      {
        // Lost heartbeats and whatever the container reports besides the above: `Interrupted`, `Failed`.
        ErrorEquals: ['States.ALL'],
        IntervalSeconds: times.retry,
        BackoffRate: 2,
        MaxDelaySeconds: 600,
        MaxAttempts: '${Number:Retries}',
        JitterStrategy: 'FULL',
      },
    ],
  };
}

/** Throttling and short outages of the AWS services that a run calls itself. */
export const passing = {
  ErrorEquals: ['States.ALL'],
  IntervalSeconds: 2,
  BackoffRate: 2,
  MaxAttempts: 5,
  JitterStrategy: 'FULL',
};

/** @param final names of errors that say something, so that they are not repeated */
export function serviceTask(api: string, parameters: unknown, final: readonly string[] = []): State {
  return {
    Type: 'Task',
    Resource: `arn:\${Partition}:states:::${api}`,
    TimeoutSeconds: 60,
    Parameters: parameters,
    Retry: [...(final.length === 0 ? [] : [{ ErrorEquals: final, MaxAttempts: 0 }]), passing],
  };
}

/** Where to go on after an error, which is put under `error` of the state's input. */
export function caught(next: string, errors: readonly string[] = ['States.ALL']): Catcher {
  return { ErrorEquals: errors, ResultPath: '$.error', Next: next };
}

const dimension = { Name: 'StateMachine', 'Value.$': '$$.StateMachine.Name' };

/** One value; `Value.$` where a path gives it. */
export function metric(name: string, unit: 'Count' | 'Bytes' | 'Seconds', value: number | string): unknown {
  const field = typeof value === 'string' ? { 'Value.$': value } : { Value: value };
  return { MetricName: name, Unit: unit, Dimensions: [dimension], ...field };
}
