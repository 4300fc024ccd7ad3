import { CfnMapping, Fn, type Stack } from 'aws-cdk-lib';
import type { CfnPolicy, CfnRole } from 'aws-cdk-lib/aws-iam';
import type { CfnKey } from 'aws-cdk-lib/aws-kms';
import type { CfnTopic } from 'aws-cdk-lib/aws-sns';
import { CfnStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { finishCommand, planCommand } from './commands.ts';
import { arn, ref } from './expressions.ts';
import { explain } from './explanations.ts';
import { type Grant, policy, role } from './roles.ts';
import { metricNamespace, runDefinitionString, runsFolder, type Substitution } from './state-machine.ts';
import type { Storage } from './storage.ts';
import { runsReason } from './task-grants.ts';
import { taskFamily, type TaskKind, type Tasks } from './tasks.ts';

export interface MachineParts {
  readonly storage: Storage;
  readonly tasks: Tasks;
  readonly topic: CfnTopic;
  readonly key: CfnKey;
}

const cluster = 'ecs:${AWS::Region}:${AWS::AccountId}:cluster/${ecsClusterName}';

/** The way of a run, and what it may do. Nothing may start it before its policy is there: see `ready`. */
export function machine(
  stack: Stack,
  parts: MachineParts,
): { readonly made: CfnStateMachine; readonly ready: CfnPolicy } {
  const { storage, tasks, topic } = parts;
  const runs = role(stack, 'StateMachineRole', 'states.amazonaws.com', 'Takes a replication through its run');
  const values: Readonly<Record<Substitution, string>> = {
    Partition: Fn.ref('AWS::Partition'),
    ClusterArn: arn(cluster),
    // By family, so the latest: an update of the stack takes the ones before away, and a run that is at work goes on.
    PlanTaskDefinition: Fn.sub(taskFamily('plan')),
    WorkerTaskDefinition: Fn.sub(taskFamily('worker')),
    SummaryTaskDefinition: Fn.sub(taskFamily('summary')),
    FinishTaskDefinition: Fn.sub(taskFamily('finish')),
    SubnetA: ref('ecsSubnetA'),
    SubnetB: ref('ecsSubnetB'),
    SecurityGroup: tasks.securityGroup.attrGroupId,
    AssignPublicIp: ref('assignPublicIp'),
    CoordinationTable: storage.coordination.ref,
    TopicArn: topic.ref,
    Bucket: storage.bucket.ref,
    MaxConcurrency: ref('maxConcurrency'),
    Retries: repetitions(stack),
    PlanCommand: planCommand(),
    FinishCommand: finishCommand(),
  };
  const made = new CfnStateMachine(stack, 'StateMachine', {
    stateMachineType: 'STANDARD',
    roleArn: runs.attrArn,
    definitionString: Fn.sub(runDefinitionString(), values),
  });
  for (const each of [tasks.plan, tasks.worker, tasks.summary]) made.addResourceDependency(each);
  explain(
    made,
    'AwsSolutions-SF1',
    'Step Functions keeps every event for 90 days (image-replication runs). Its logs would hold task tokens, and need eight actions on all log groups, logs:PutResourcePolicy among them.',
  );
  explain(
    made,
    'AwsSolutions-SF2',
    'A run waits for containers: its history tells how long; X-Ray would see the same, with rights on all resources.',
  );
  return { made, ready: machinePolicy(stack, parts, runs) };
}

/** One less than the tries: CloudFormation cannot subtract. */
function repetitions(stack: Stack): string {
  const mapping = Object.fromEntries([1, 2, 3, 4, 5].map((tries) => [String(tries), { repetitions: tries - 1 }]));
  return new CfnMapping(stack, 'Tries', { mapping }).findInMap(ref('tries'), 'repetitions');
}

function machinePolicy(stack: Stack, { storage, tasks, topic, key }: MachineParts, runs: CfnRole): CfnPolicy {
  const executions = 'states:${AWS::Region}:${AWS::AccountId}:execution:${StateMachine.Name}';
  policy(stack, 'StateMachineFinishPolicy', [runs], starting(['finish'], [tasks.roles.finish]), 'JobIsEks');
  return policy(
    stack,
    'StateMachinePolicy',
    [runs],
    [
      ...starting(
        ['plan', 'worker', 'summary'],
        [tasks.roles.plan, tasks.roles.worker, tasks.roles.summary, tasks.execution],
      ),
      // Children of the Distributed Map are executions that the machine starts of itself.
      // https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
      { Sid: 'Shards', Action: ['states:StartExecution'], Resource: Fn.ref('StateMachine') },
      {
        Sid: 'Executions',
        Action: ['states:DescribeExecution', 'states:StopExecution'],
        Resource: [arn(`${executions}:*`), arn(`${executions}/*`)],
        wildcard: 'executions of this machine, and children of its maps, which get their names when they start',
      },
      {
        Sid: 'Redrive',
        // Of an execution that broke off while its map was at work: https://docs.aws.amazon.com/step-functions/latest/dg/redrive-map-run.html
        Action: ['states:RedriveExecution'],
        Resource: arn(`${executions}/*`),
        wildcard: "children of this machine's maps, which get their names when they start",
      },
      {
        Sid: 'ShardList',
        Action: ['s3:GetObject'],
        Resource: arn(`s3:::\${RunsBucket}/${runsFolder}/*`),
        wildcard: runsReason,
      },
      {
        Sid: 'Turn',
        Action: ['dynamodb:GetItem', 'dynamodb:PutItem'],
        Resource: storage.coordination.attrArn,
        Condition: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['run'] } },
      },
      {
        Sid: 'Metrics',
        Action: ['cloudwatch:PutMetricData'],
        Resource: '*',
        wildcard: 'the action takes no resource; the namespace is given',
        Condition: { StringEquals: { 'cloudwatch:namespace': metricNamespace } },
      },
      { Sid: 'Mail', Action: ['sns:Publish'], Resource: topic.ref },
      {
        Sid: 'MailKey',
        Action: ['kms:Decrypt', 'kms:GenerateDataKey'],
        Resource: key.attrArn,
        Condition: { StringLike: { 'kms:ViaService': Fn.sub('sns.${AWS::Region}.*') } },
      },
    ],
  );
}

/** Starting tasks in the one cluster, under their roles. */
function starting(kinds: readonly TaskKind[], roles: readonly CfnRole[]): readonly Grant[] {
  return [
    {
      Sid: 'Tasks',
      Action: ['ecs:RunTask'],
      // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html: all revisions, or one.
      Resource: kinds.map((kind) =>
        arn(`ecs:\${AWS::Region}:\${AWS::AccountId}:task-definition/${taskFamily(kind)}:*`),
      ),
      wildcard: 'revisions of the one family; a run that is at work goes on with the latest',
      Condition: { ArnEquals: { 'ecs:cluster': arn(cluster) } },
    },
    {
      Sid: 'TaskRoles',
      Action: ['iam:PassRole'],
      Resource: roles.map((each) => each.attrArn),
      Condition: { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } },
    },
  ];
}
