import { CfnDeletionPolicy, Fn, type Stack } from 'aws-cdk-lib';
import { CfnSecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { CfnTaskDefinition } from 'aws-cdk-lib/aws-ecs';
import type { CfnPolicy, CfnRole } from 'aws-cdk-lib/aws-iam';
import type { CfnKey } from 'aws-cdk-lib/aws-kms';
import { CfnLogGroup } from 'aws-cdk-lib/aws-logs';
import { imageRepositoryArn, number, ref } from './expressions.ts';
import { explain } from './explanations.ts';
import { logGroupName } from './notices.ts';
import { policy, role } from './roles.ts';
import { containerName } from './state-machine-tasks.ts';
import { taskPolicies, type TaskRoles } from './task-policies.ts';

export type TaskKind = keyof TaskRoles;

/** What the task definitions of a kind are called, for `Fn::Sub`; each revision of one has a number behind. */
export const taskFamily = (kind: TaskKind): string => `\${AWS::StackName}-${kind}`;

/** What Fargate runs. */
export interface Tasks {
  readonly roles: TaskRoles;
  /** Which every run needs. */
  readonly policies: readonly CfnPolicy[];
  readonly execution: CfnRole;
  readonly plan: CfnTaskDefinition;
  readonly worker: CfnTaskDefinition;
  readonly summary: CfnTaskDefinition;
  readonly finish: CfnTaskDefinition;
  readonly securityGroup: CfnSecurityGroup;
}

export function tasks(stack: Stack, key: CfnKey): Tasks {
  const logs = new CfnLogGroup(stack, 'Logs', {
    logGroupName: Fn.sub(logGroupName),
    kmsKeyId: key.attrArn,
    retentionInDays: number('logRetentionDays'),
  });
  logs.cfnOptions.deletionPolicy = CfnDeletionPolicy.DELETE;
  const execution = executionRole(stack);
  const task = (id: string, does: string): CfnRole => role(stack, id, 'ecs-tasks.amazonaws.com', does);
  const roles: TaskRoles = {
    plan: task('PlanRole', 'Looks at both sides, and writes the plan and its shards'),
    worker: task('WorkerRole', 'Copies a shard'),
    summary: task('SummaryRole', 'Sums up what the workers did'),
    finish: task('FinishRole', 'Copies the charts of the EKS job, proves and publishes'),
  };
  roles.finish.addOverride('Condition', 'JobIsEks');
  const finish = definition(stack, 'FinishTask', 'finish', roles.finish, execution, logs);
  finish.addOverride('Condition', 'JobIsEks');
  return {
    policies: taskPolicies(stack, roles),
    roles,
    execution,
    plan: definition(stack, 'PlanTask', 'plan', roles.plan, execution, logs),
    worker: definition(stack, 'WorkerTask', 'worker', roles.worker, execution, logs),
    summary: definition(stack, 'SummaryTask', 'summary', roles.summary, execution, logs),
    finish,
    securityGroup: securityGroup(stack),
  };
}

/** Fetches the image and writes the logs, before and beside the program. */
function executionRole(stack: Stack): CfnRole {
  const execution = role(stack, 'ExecutionRole', 'ecs-tasks.amazonaws.com', 'Starts the tasks: image and logs');
  policy(
    stack,
    'ExecutionPolicy',
    [execution],
    [
      {
        Sid: 'Logs',
        Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        Resource: Fn.getAtt('Logs', 'Arn').toString(),
      },
    ],
  );
  policy(
    stack,
    'ExecutionImagePolicy',
    [execution],
    [
      {
        Sid: 'RegistryToken',
        Action: ['ecr:GetAuthorizationToken'],
        Resource: '*',
        wildcard: 'the action takes no resource',
      },
      {
        Sid: 'Image',
        Action: ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
        Resource: imageRepositoryArn(),
      },
    ],
    'ImageInEcr',
  );
  return execution;
}

/** The folder that the image gives to its user: all else is read-only. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/bind-mounts.html */
const workFolder = '/db';

function definition(
  stack: Stack,
  id: string,
  stream: TaskKind,
  taskRole: CfnRole,
  execution: CfnRole,
  logs: CfnLogGroup,
): CfnTaskDefinition {
  const variables: Readonly<Record<string, string>> = {
    AWS_ACCOUNT_ID: Fn.ref('AWS::AccountId'),
    AWS_DEFAULT_REGION: Fn.ref('AWS::Region'),
    AWS_REGION: Fn.ref('AWS::Region'),
    HOME: workFolder,
    TMPDIR: workFolder,
    // Decimal of what the disk has in binary: 7 % of it stay for the image and what a run leaves.
    IMAGE_REPLICATION_SPOOL_BYTES: Fn.sub('${workerDisk}GB'),
    SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: ref('helmRepoSecretName'),
    SEEDFARMER_PARAMETER_HELM_REPO_SECRET_KEY: ref('helmRepoSecretKey'),
  };
  const made = new CfnTaskDefinition(stack, id, {
    family: Fn.sub(taskFamily(stream)),
    requiresCompatibilities: ['FARGATE'],
    networkMode: 'awsvpc',
    cpu: ref('workerCpu'),
    memory: ref('workerMemory'),
    ephemeralStorage: { sizeInGiB: number('workerDisk') },
    runtimePlatform: { cpuArchitecture: ref('workerArchitecture'), operatingSystemFamily: 'LINUX' },
    taskRoleArn: taskRole.attrArn,
    executionRoleArn: execution.attrArn,
    volumes: [{ name: 'work' }],
    containerDefinitions: [
      {
        name: containerName,
        image: ref('workerImage'),
        essential: true,
        user: '65532:65532',
        workingDirectory: workFolder,
        readonlyRootFilesystem: true,
        mountPoints: [{ sourceVolume: 'work', containerPath: workFolder, readOnly: false }],
        linuxParameters: { initProcessEnabled: true, capabilities: { drop: ['ALL'] } },
        // Fargate's longest: a worker that is stopped ends what it has in hand and reports.
        stopTimeout: 120,
        environment: Object.entries(variables).map(([name, value]) => ({ name, value })),
        logConfiguration: {
          logDriver: 'awslogs',
          options: {
            'awslogs-group': logs.ref,
            'awslogs-region': Fn.ref('AWS::Region'),
            'awslogs-stream-prefix': stream,
          },
        },
      },
    ],
  });
  explain(
    made,
    'AwsSolutions-ECS2',
    'Accounts, the region, a folder, a size and the name of a secret: nothing that is secret.',
  );
  return made;
}

/** Nothing connects to a task; a task connects to registries and AWS, all of which speak TLS. */
function securityGroup(stack: Stack): CfnSecurityGroup {
  const https = (address: object, description: string) => ({
    ...address,
    description,
    ipProtocol: 'tcp',
    fromPort: 443,
    toPort: 443,
  });
  return new CfnSecurityGroup(stack, 'SecurityGroup', {
    groupDescription: 'Tasks of image-replication: out by HTTPS, nothing in',
    vpcId: ref('ecsVpcId'),
    securityGroupEgress: [
      https({ cidrIp: '0.0.0.0/0' }, 'Registries and AWS'),
      https({ cidrIpv6: '::/0' }, 'Registries and AWS, IPv6'),
    ],
  });
}
