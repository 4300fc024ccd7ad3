import { lockStates } from './state-machine-lock.ts';
import {
  caught,
  containerTask,
  metric,
  serviceTask,
  startAttempts,
  type States,
  type Times,
  usualTimes,
} from './state-machine-tasks.ts';

/**
 * What the template puts in for `${Name}`. `Partition` to `Bucket` are texts inside JSON strings, so their values may
 * hold no quote, backslash or line break. The numbers and commands replace a whole JSON value: `MaxConcurrency` and
 * `Retries` (repetitions of a task, so one less than its tries) are numbers; `PlanCommand` is a JSON list with the job's
 * arguments, to which `--shards LOCATION` is added; `FinishCommand` is a JSON list with the arguments of what follows
 * when all images are there (`eks --lock FILE --publish`), `[]` for nothing.
 */
export const substitutions = [
  'Partition',
  'ClusterArn',
  'PlanTaskDefinition',
  'WorkerTaskDefinition',
  'SummaryTaskDefinition',
  'FinishTaskDefinition',
  'SubnetA',
  'SubnetB',
  'SecurityGroup',
  'AssignPublicIp',
  'CoordinationTable',
  'TopicArn',
  'Bucket',
  'MaxConcurrency',
  'Retries',
  'PlanCommand',
  'FinishCommand',
] as const;
export type Substitution = (typeof substitutions)[number];

/** Namespace of the metrics; each has the one dimension `StateMachine` (its name). */
export const metricNamespace = 'ImageReplication';

/** Folder of the bucket that holds a folder per run, named as its execution is. */
export const runsFolder = 'runs';

/**
 * The way of a run as CloudFormation's `DefinitionString`, for `Fn::Sub`. A text and not an object, because numbers and
 * lists come from parameters too, and `DefinitionSubstitutions` can only put text into strings.
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-stepfunctions-statemachine.html
 */
export function runDefinitionString(times: Times = usualTimes): string {
  return JSON.stringify(runDefinition(times)).replace(/"\$\{(?:Number|Json):(\w+)\}"/g, (_, name: string) => {
    return `\${${name}}`;
  });
}

/**
 * The definition, in JSONPath. Input: `{}` for a new run, whose id is the execution's name; `{location, bucket, key}` for
 * a redrive, which copies the shards listed in that object (`failed.json` of a run) and plans nothing.
 *
 * Limits (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html): what a state hands on is at most
 * 256 KiB, so plan, shards and results stay in S3 and children give nothing back; an execution's history is at most
 * 25,000 events, so shards are children of a Distributed Map, each with a history of its own. They are STANDARD, since
 * EXPRESS children last five minutes at most and may not wait for a task token.
 * Every task has a timeout, so that no run lasts for ever; Step Functions' own bound (TimeoutSeconds of the whole) is not
 * used, because it ends a run without Catch, and so without mail.
 */
export function runDefinition(times: Times = usualTimes) {
  return {
    Comment: 'Plans a replication, copies its shards, sums up what they did, and tells when something failed',
    StartAt: 'Settings',
    States: {
      ...beginning(),
      ...withCatch(lockStates('New or again', times)),
      ...withCatch(planning(times)),
      Copy: copying(times),
      ...withCatch(summingUp(times)),
      ...ending(),
    },
  };
}

/** Whatever goes wrong where nothing else is said is reported. */
function withCatch(states: States): States {
  const entries = Object.entries(states).map(([name, state]) => {
    if (state.Type !== 'Task') return [name, state] as const;
    const own = state.Catch ?? [];
    // States.ALL has to be alone in the last catcher: https://states-language.net/spec.html#fallback-states
    const complete = own.some(({ ErrorEquals }) => ErrorEquals.includes('States.ALL'));
    return [name, complete ? state : { ...state, Catch: [...own, caught('Broken')] }] as const;
  });
  return Object.fromEntries(entries);
}

function beginning(): States {
  const common = { 'input.$': '$', finish: '${Json:FinishCommand}', plan: '${Json:PlanCommand}' };
  const location = `s3://\${Bucket}/${runsFolder}/{}`;
  return {
    Settings: {
      Type: 'Pass',
      Parameters: { ...common, 'location.$': `States.Format('${location}', $$.Execution.Name)` },
      Next: 'Is it a redrive',
    },
    'Is it a redrive': {
      Type: 'Choice',
      Choices: [{ Variable: '$.input.location', IsPresent: true, Next: 'Redrive' }],
      Default: 'Take turn',
    },
    // The folder of the run whose failures are repeated.
    Redrive: { Type: 'Pass', InputPath: '$.input.location', ResultPath: '$.location', Next: 'Take turn' },
  };
}

function planning(times: Times): States {
  return {
    'New or again': {
      Type: 'Choice',
      Choices: [{ Variable: '$.input.location', IsPresent: true, Next: 'Known shards' }],
      Default: 'Arguments',
    },
    'Known shards': { Type: 'Pass', InputPath: '$.input', ResultPath: '$.planned', Next: 'Copy' },
    // JSONPath's intrinsic functions cannot join lists, its wildcards can: the lists are kept in a list until they are used.
    Arguments: {
      Type: 'Pass',
      Parameters: { 'lists.$': "States.Array($.plan, States.Array('--shards', $.location))" },
      ResultPath: '$.arguments',
      Next: 'Plan',
    },
    Plan: {
      ...containerTask({
        definition: '${PlanTaskDefinition}',
        command: '$.arguments.lists[*][*]',
        timeout: 6 * 3600,
        times,
      }),
      ResultSelector: { 'bucket.$': '$.bucket', 'key.$': '$.key', 'shards.$': '$.shards', 'images.$': '$.images' },
      ResultPath: '$.planned',
      Next: 'Anything to copy',
    },
    'Anything to copy': {
      Type: 'Choice',
      Choices: [{ Variable: '$.planned.shards', NumericEquals: 0, Next: 'Summary' }],
      Default: 'Copy',
    },
  };
}

/** A child per shard. A child that failed does not stop the others; what it did not copy, the summary finds. */
function copying(times: Times) {
  return {
    Type: 'Map',
    Label: 'Shards',
    MaxConcurrency: '${Number:MaxConcurrency}',
    ToleratedFailurePercentage: 100,
    ItemReader: {
      Resource: 'arn:${Partition}:states:::s3:getObject',
      ReaderConfig: { InputType: 'JSON' },
      Parameters: { 'Bucket.$': '$.planned.bucket', 'Key.$': '$.planned.key' },
    },
    ItemSelector: { 'shard.$': '$$.Map.Item.Value.shard' },
    ItemProcessor: {
      ProcessorConfig: { Mode: 'DISTRIBUTED', ExecutionType: 'STANDARD' },
      StartAt: 'Worker',
      States: {
        Worker: {
          ...containerTask({
            definition: '${WorkerTaskDefinition}',
            command: "States.Array('worker', '--shard', $.shard)",
            timeout: 24 * 3600,
            times,
            startAttempts: startAttempts.worker,
          }),
          // Thousands of outputs together are more than the 256 KiB that the map may hand on; they are in S3.
          OutputPath: null,
          End: true,
        },
      },
    },
    ResultPath: null,
    // A map that broke off is summed up as well: shards without a result are failures there.
    Catch: [caught('Summary')],
    Next: 'Summary',
  };
}

function summingUp(times: Times): States {
  // What a redrive sums up is the whole run: it counts what the executions before it have not.
  const added = [
    metric('ImagesCopied', 'Count', '$.summary.added.copied'),
    metric('ImagesUnchanged', 'Count', '$.summary.added.unchanged'),
    metric('Bytes', 'Bytes', '$.summary.added.bytes'),
  ];
  const record = (MetricData: readonly unknown[]) =>
    serviceTask('aws-sdk:cloudwatch:putMetricData', { Namespace: metricNamespace, MetricData });
  const ended = (succeeded: number) =>
    record([metric('ImagesFailed', 'Count', '$.summary.failed'), metric('Succeeded', 'Count', succeeded)]);
  return {
    Summary: {
      ...containerTask({
        definition: '${SummaryTaskDefinition}',
        command: "States.Array('summary', '--shards', $.location, '--execution', $$.Execution.Name)",
        timeout: 2 * 3600,
        times,
      }),
      ResultPath: '$.summary',
      Next: 'First time',
    },
    'First time': {
      Type: 'Choice',
      Choices: [{ Variable: '$.input.location', IsPresent: true, Next: 'Record added' }],
      Default: 'Record work',
    },
    'Record work': {
      ...record([...added, metric('Duration', 'Seconds', '$.summary.seconds')]),
      ResultPath: null,
      Catch: [caught('All there')],
      Next: 'All there',
    },
    // A redrive's time counts from the run that it is of, maybe days ago.
    'Record added': { ...record(added), ResultPath: null, Catch: [caught('All there')], Next: 'All there' },
    'All there': {
      Type: 'Choice',
      Choices: [
        { Variable: '$.summary.failed', NumericGreaterThan: 0, Next: 'Failures' },
        // All images are there, and yet a worker did not end well: its status could not be written.
        { Variable: '$.summary.failedShards', NumericGreaterThan: 0, Next: 'Failures' },
      ],
      Default: 'Count finish',
    },
    'Count finish': {
      Type: 'Pass',
      Parameters: { 'arguments.$': 'States.ArrayLength($.finish)' },
      ResultPath: '$.finishing',
      Next: 'Anything to finish',
    },
    'Anything to finish': {
      Type: 'Choice',
      Choices: [{ Variable: '$.finishing.arguments', NumericGreaterThan: 0, Next: 'Finish' }],
      Default: 'Record success',
    },
    Finish: {
      ...containerTask({ definition: '${FinishTaskDefinition}', command: '$.finish', timeout: 6 * 3600, times }),
      ResultPath: null,
      Next: 'Record success',
    },
    // The images are there, whether a metric says so or not; without it the alarm rings, as it should.
    'Record success': { ...ended(1), ResultPath: null, Catch: [caught('Succeeded')], Next: 'Succeeded' },
    Failures: {
      Type: 'Pass',
      Parameters: {
        error: 'ImagesFailed',
        'message.$':
          "States.Format('Run {}: {} failed, {} copied, {} unchanged; shards to be run again: {}. Report: {}/report.html. Copy what failed again: image-replication runs --redrive {}', $$.Execution.Name, $.summary.failed, $.summary.copied, $.summary.unchanged, $.summary.failedShards, $.location, $$.Execution.Id)",
        'details.$': 'States.JsonToString($.summary)',
      },
      ResultPath: '$.report',
      Next: 'Record failures',
    },
    'Record failures': { ...ended(0), ResultPath: null, Catch: [caught('Notify')], Next: 'Notify' },
  };
}

function ending(): States {
  return {
    Broken: {
      Type: 'Pass',
      Parameters: {
        // Not the error's own name: a Fail state may not give one that begins with `States.`.
        error: 'RunBroken',
        'message.$':
          "States.Format('Run {} broke off. {}: {} See it with: image-replication runs {}', $$.Execution.Name, $.error.Error, $.error.Cause, $$.Execution.Id)",
        'details.$': '$.location',
      },
      ResultPath: '$.report',
      Next: 'Record breakage',
    },
    'Record breakage': {
      ...serviceTask('aws-sdk:cloudwatch:putMetricData', {
        Namespace: metricNamespace,
        MetricData: [metric('Succeeded', 'Count', 0)],
      }),
      ResultPath: null,
      // The mail matters more than the metric.
      Catch: [caught('Notify')],
      Next: 'Notify',
    },
    Notify: {
      ...serviceTask('sns:publish', {
        TopicArn: '${TopicArn}',
        // At most 100 characters of ASCII: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
        Subject: 'Image replication failed',
        'Message.$':
          "States.Format('{} Execution: {} Details: {}', $.report.message, $$.Execution.Id, $.report.details)",
      }),
      ResultPath: null,
      // The execution fails with what happened, not with the mail.
      Catch: [caught('Failed')],
      Next: 'Failed',
    },
    Failed: { Type: 'Fail', ErrorPath: '$.report.error', CausePath: '$.report.message' },
    Succeeded: { Type: 'Succeed', InputPath: '$.summary' },
  };
}
