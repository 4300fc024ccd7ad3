import type { Stack } from 'aws-cdk-lib';
import type { CfnPolicy, CfnRole } from 'aws-cdk-lib/aws-iam';
import { arn, type Condition, destination, either, inputArn, parameterArn, ref, source } from './expressions.ts';
import { explain } from './explanations.ts';
import { type Grant, policy } from './roles.ts';
import { runsFolder } from './state-machine.ts';
import {
  destinationReason,
  everyRepository,
  listedReason,
  pushGrant,
  reading,
  registryToken,
  runsReason,
  tagGrant,
  taskToken,
} from './task-grants.ts';

/** A role for each kind of task. */
export interface TaskRoles {
  readonly plan: CfnRole;
  readonly worker: CfnRole;
  readonly summary: CfnRole;
  /** Job eks only: charts, proof and publication, when all images are there. */
  readonly finish: CfnRole;
}

/**
 * What the tasks may do, and nothing else.
 * @returns what is granted whatever the parameters say
 */
export function taskPolicies(stack: Stack, roles: TaskRoles): readonly CfnPolicy[] {
  const { plan, worker, summary, finish } = roles;
  // Without it S3 answers 403 for an object that is not there.
  const listing: Grant = { Sid: 'Runs', Action: ['s3:ListBucket'], Resource: arn('s3:::${RunsBucket}') };
  const statuses = table('Status', 'StatusTable', [
    'dynamodb:BatchGetItem',
    'dynamodb:BatchWriteItem',
    'dynamodb:DescribeTable',
  ]);
  registries(stack, roles);
  credentials(stack, roles);
  finishing(stack, finish);
  // Images that are there already are noted by the plan.
  policy(stack, 'PlanStatusPolicy', [plan], [statuses], 'JobIsEcr');
  policy(stack, 'InputPolicy', [plan], [input()], 'HasInput');
  return [
    policy(stack, 'TaskTokenPolicy', [plan, worker, summary], [taskToken]),
    policy(stack, 'RegistryTokenPolicy', [plan, worker], [registryToken]),
    policy(stack, 'PlanPolicy', [plan], [listing, objects('Run', ['s3:PutObject'])]),
    policy(
      stack,
      'WorkerPolicy',
      [worker],
      [
        listing,
        objects('Shard', ['s3:GetObject', 's3:PutObject']),
        statuses,
        {
          ...table('Budget', 'CoordinationTable', ['dynamodb:GetItem', 'dynamodb:UpdateItem']),
          // Not the item of the run's lock.
          Condition: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['budget#*'] } },
        },
      ],
    ),
    policy(stack, 'SummaryPolicy', [summary], [listing, objects('Run', ['s3:GetObject', 's3:PutObject'])]),
  ];
}

function registries(stack: Stack, { plan, worker }: TaskRoles): void {
  const sourceRepositories = {
    Sid: 'Source',
    Resource: arn('ecr:${Region}:${Account}:repository/*', { Region: source.region(), Account: source.account() }),
    wildcard: 'all repositories of the source are replicated, or a list that may change',
  };
  const destinationArnOf = (prefix: string): string =>
    arn('ecr:${Region}:${Account}:repository/${Prefix}*', {
      Region: destination.region(),
      Account: destination.account(),
      Prefix: prefix,
    });
  const destinationArn = destinationArnOf(destination.prefix());
  const everywhere = arn('ecr:${Region}:${Account}:repository/*', {
    Region: destination.region(),
    Account: destination.account(),
  });
  const listed = { Sid: 'ListedSources', Resource: arn('ecr:*:*:repository/*'), wildcard: listedReason };
  policy(
    stack,
    'PlanSourcePolicy',
    [plan],
    [{ ...sourceRepositories, Action: ['ecr:BatchGetImage', 'ecr:DescribeRepositories', 'ecr:ListImages'] }],
    'ReadsOwnEcr',
  );
  policy(
    stack,
    'WorkerSourcePolicy',
    [worker],
    [{ ...sourceRepositories, Action: [...reading, 'ecr:ListImages'] }],
    'ReadsOwnEcr',
  );
  policy(stack, 'PlanListedPolicy', [plan], [{ ...listed, Action: ['ecr:BatchGetImage'] }], 'ReadsListedEcr');
  policy(stack, 'PlanTagsPolicy', [plan], [{ ...listed, Action: ['ecr:ListImages'] }], 'AsksForTags');
  policy(
    stack,
    'WorkerListedPolicy',
    [worker],
    [{ ...listed, Action: [...reading, 'ecr:ListImages'] }],
    'ReadsListedEcr',
  );
  policy(
    stack,
    'PlanDestinationPolicy',
    [plan],
    [{ Sid: 'Destination', Action: ['ecr:BatchGetImage'], Resource: destinationArn, wildcard: destinationReason }],
    'LooksIntoOwnEcr',
  );
  policy(
    stack,
    'PlanComparisonPolicy',
    [plan],
    [
      everyRepository(everywhere),
      {
        Sid: 'Comparison',
        Action: ['ecr:ListImages', 'ecr:ListTagsForResource'],
        Resource: destinationArnOf(ref('destPrefix')),
        wildcard: destinationReason,
      },
    ],
    'ComparesOwnEcr',
  );
  policy(
    stack,
    'WorkerDestinationPolicy',
    [worker],
    [everyRepository(everywhere), pushGrant(destinationArn)],
    'WritesOwnEcr',
  );
  policy(stack, 'WorkerTagPolicy', [worker], [tagGrant(destinationArn)], 'TagsOwnEcr');
}

/** Credentials of other accounts: exactly the parameters and roles that the stack's parameters name. */
function credentials(stack: Stack, { plan, worker, finish }: TaskRoles): void {
  const read = (id: string, roles: readonly CfnRole[], name: string, condition: Condition): void =>
    explain(
      policy(
        stack,
        id,
        roles,
        [{ Sid: 'Parameter', Action: ['ssm:GetParameter'], Resource: parameterArn(name) }],
        condition,
      ),
      'CdkNagValidationFailure',
      'The rule about wildcards cannot read an ARN that is put together from a parameter: it names exactly that one.',
    );
  const assume = (name: 'srcRole' | 'destRole'): readonly Grant[] => [
    { Sid: 'Role', Action: ['sts:AssumeRole'], Resource: ref(name) },
  ];
  const both = [plan, worker];
  const usual = 'drh-credentials';
  read('SourceCredentialPolicy', both, either('HasSrcParameter', ref('srcCredential'), usual), 'ReadsSrcParameter');
  read(
    'DestinationCredentialPolicy',
    both,
    either('HasDestParameter', ref('destCredential'), usual),
    'ReadsDestParameter',
  );
  read('ImageListPolicy', [plan], ref('srcImageParameter'), 'HasImageParameter');
  policy(stack, 'SourceRolePolicy', both, assume('srcRole'), 'HasSrcRole');
  policy(stack, 'DestinationRolePolicy', both, assume('destRole'), 'HasDestRole');
  policy(
    stack,
    'CredentialKeyPolicy',
    both,
    [
      {
        Sid: 'CredentialKey',
        Action: ['kms:Decrypt'],
        Resource: ref('credentialKey'),
        Condition: { StringLike: { 'kms:ViaService': 'ssm.*' } },
      },
    ],
    'HasCredentialKey',
  );
  // https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html
  const secret = arn('secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${helmRepoSecretName}-??????');
  policy(
    stack,
    'SecretPolicy',
    [plan, worker, finish],
    [
      {
        Sid: 'Secret',
        Action: ['secretsmanager:GetSecretValue'],
        Resource: secret,
        wildcard: 'the six characters that Secrets Manager puts behind a name',
      },
    ],
    'HasSecret',
  );
}

/** What the EKS job needs beside, as modulestack.yaml grants it to the module's own build. */
function finishing(stack: Stack, finish: CfnRole): void {
  const name = 's3:::${eksProject}-dkr-img-rep-md-${AWS::Region}-${AWS::AccountId}';
  const repositories = arn('ecr:${AWS::Region}:${AWS::AccountId}:repository/${eksProject}-*');
  const bucket: Grant = {
    Sid: 'ResultBucket',
    Action: [
      's3:CreateBucket',
      's3:GetBucketPublicAccessBlock',
      's3:GetBucketVersioning',
      's3:GetEncryptionConfiguration',
      's3:ListBucket',
      's3:PutBucketPublicAccessBlock',
      's3:PutBucketVersioning',
      's3:PutEncryptionConfiguration',
    ],
    Resource: arn(name),
  };
  const result: Grant = {
    Sid: 'ResultObjects',
    Action: ['s3:PutObject'],
    Resource: arn(`${name}/*`),
    wildcard: 'the objects of the one bucket of the module',
  };
  const listed: Grant = {
    Sid: 'ListedSources',
    Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:ListImages'],
    Resource: arn('ecr:*:*:repository/*'),
    wildcard: listedReason,
  };
  policy(
    stack,
    'FinishPolicy',
    [finish],
    [
      taskToken,
      registryToken,
      everyRepository(arn('ecr:${AWS::Region}:${AWS::AccountId}:repository/*')),
      pushGrant(repositories),
      tagGrant(repositories),
      listed,
      bucket,
      result,
    ],
    'JobIsEks',
  );
  policy(stack, 'LockPolicy', [finish], [input()], 'HasLock');
}

function input(): Grant {
  return { Sid: 'Input', Action: ['s3:GetObject'], Resource: inputArn() };
}

function objects(Sid: string, Action: readonly string[]): Grant {
  return { Sid, Action, Resource: arn(`s3:::\${RunsBucket}/${runsFolder}/*`), wildcard: runsReason };
}

function table(Sid: string, id: string, Action: readonly string[]): Grant {
  return { Sid, Action, Resource: arn(`dynamodb:\${AWS::Region}:\${AWS::AccountId}:table/\${${id}}`) };
}
