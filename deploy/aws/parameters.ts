import { CfnParameter, type Stack } from 'aws-cdk-lib';

interface Parameter {
  readonly name: string;
  /** What the console shows as its label. */
  readonly label: string;
  /** Name by which CloudFormation checks that there is such a thing; `String` unless said. */
  readonly type?: 'String' | 'Number' | 'AWS::EC2::VPC::Id' | 'AWS::EC2::Subnet::Id';
  /** Absent: the parameter has to be given. */
  readonly default?: string | number;
  readonly values?: readonly (string | number)[];
  /** For texts that may be empty, too, when the default is. */
  readonly pattern?: string;
  readonly told?: string;
  /** Characters at most, where the pattern does not say so. */
  readonly longest?: number;
  readonly min?: number;
  readonly max?: number;
  readonly description: string;
}

interface Group {
  readonly label: string;
  readonly parameters: readonly Parameter[];
}

// Values become part of the JSON of the state machine, so none may hold a quote, a backslash, a dollar sign or a line break.
const region = '^([a-z]{2,}(-[a-z]+)+-[0-9]+)?$';
const account = '^([0-9]{12})?$';
const parameterName = '^[A-Za-z0-9_./-]{0,1011}$';
const role = '^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+)?$';
const secret = '^[A-Za-z0-9/_+=.@-]{0,512}$';
const name = '^[A-Za-z0-9_.-]{0,128}$';
/** What names of ECR repositories can begin with: segments of words with a ., one or two _ or any number of - between them. */
const segment = '[a-z0-9]+(([.]|__?|-+)[a-z0-9]+)*';
const prefix = `^(${segment}(/${segment})*([/.]|__?|-+)?)?$`;

/**
 * Everything the stack can be told. The first names, with their defaults, are those of the data replication hub's ECR
 * plugin (its document's table "Available Parameters"), so that a deployment of it can be carried over as it is.
 */
export const parameterGroups = [
  {
    label: 'What is replicated',
    parameters: [
      {
        name: 'job',
        label: 'Job',
        default: 'ecr',
        values: ['ecr', 'images', 'mirror', 'eks'],
        description:
          'ecr: a registry, or a list of images, to ECR. images: a list of images as they are. mirror: a mirror file. eks: a lock of the EKS module.',
      },
      {
        name: 'sourceType',
        label: 'Source type',
        default: 'Amazon_ECR',
        values: ['Amazon_ECR', 'Public', 'Private'],
        description:
          'Choose type of source container registry: Amazon_ECR, or Public or Private for Docker Hub, gcr.io, etc. (job ecr)',
      },
      {
        name: 'srcRegion',
        label: 'Source region',
        default: '',
        pattern: region,
        told: 'a region such as eu-west-1',
        description: 'Source AWS Region (source type Amazon_ECR). Blank: the region of this stack.',
      },
      {
        name: 'srcAccountId',
        label: 'Source account',
        default: '',
        pattern: account,
        told: 'twelve digits',
        description: 'Source AWS Account ID (source type Amazon_ECR), leave it blank if source is in current account.',
      },
      {
        name: 'srcList',
        label: 'All images or selected ones',
        default: 'ALL',
        values: ['ALL', 'SELECTED'],
        description: 'Type of Source Image List. Either ALL or SELECTED.',
      },
      {
        name: 'srcImageList',
        label: 'Selected images',
        default: '',
        pattern: '^[A-Za-z0-9_.:/@, -]{0,4096}$',
        told: 'repository:tag, repository:ALL_TAGS or repository@digest, commas between',
        description:
          'Source Image List delimited by comma, for example, ubuntu:latest,alpine:latest... If srcList is ALL, this will be ignored.',
      },
      {
        name: 'srcImageParameter',
        label: 'Parameter with selected images',
        default: '',
        pattern: parameterName,
        told: 'the name of a parameter',
        description: 'Parameter in Systems Manager that holds the Source Image List, instead of srcImageList.',
      },
      {
        name: 'srcCredential',
        label: 'Source credentials',
        default: '',
        pattern: parameterName,
        told: 'the name of a parameter',
        description:
          'The Parameter in Systems Manager used to keep credentials to pull images from source (SecureString). Blank with another account: drh-credentials.',
      },
      {
        name: 'srcRole',
        label: 'Source role',
        default: '',
        pattern: role,
        told: 'the ARN of a role',
        description: 'Role to assume for the source, instead of srcCredential.',
      },
      {
        name: 'jobInput',
        label: 'Input of the other jobs',
        default: '',
        pattern: '^(s3://[a-z0-9.-]{3,63}/[A-Za-z0-9_./=+-]+)?$',
        told: 's3://bucket/key',
        description:
          'S3 address of the list (job images), the mirror file (job mirror) or the lock (job eks), in a bucket of this region.',
      },
      {
        name: 'platforms',
        label: 'Platforms',
        default: '',
        pattern: '^[a-z0-9/,._ -]*$',
        told: 'such as linux/amd64,linux/arm64',
        description: 'Platforms to copy, such as linux/amd64,linux/arm64. Blank: all.',
      },
    ],
  },
  {
    label: 'Where to',
    parameters: [
      {
        name: 'destRegion',
        label: 'Destination region',
        default: '',
        pattern: region,
        told: 'a region such as cn-northwest-1',
        description: 'Destination AWS Region. Blank: the region of this stack.',
      },
      {
        name: 'destAccountId',
        label: 'Destination account',
        default: '',
        pattern: account,
        told: 'twelve digits',
        description: 'Destination AWS Account ID, leave it blank if destination is in current account.',
      },
      {
        name: 'destPrefix',
        label: 'Destination prefix',
        default: '',
        pattern: prefix,
        longest: 201,
        told: 'lower case letters and digits with . _ - / between them, such as mirror or team/mirror',
        description: 'Destination Prefix: what the names of repositories begin with. Blank: nothing.',
      },
      {
        name: 'destCredential',
        label: 'Destination credentials',
        default: '',
        pattern: parameterName,
        told: 'the name of a parameter',
        description:
          'The Parameter in Systems Manager used to keep destination credentials to push images to Amazon ECR (SecureString). Blank with another account: drh-credentials.',
      },
      {
        name: 'destRole',
        label: 'Destination role',
        default: '',
        pattern: role,
        told: 'the ARN of a role',
        description: 'Role to assume for the destination, instead of destCredential.',
      },
    ],
  },
  {
    label: 'Where it runs',
    parameters: [
      {
        name: 'ecsClusterName',
        label: 'Cluster',
        pattern: '^[A-Za-z0-9_-]{1,255}$',
        told: 'the name of a cluster, not its ARN',
        description: 'ECS Cluster Name to run ECS task.',
      },
      {
        name: 'ecsVpcId',
        label: 'VPC',
        type: 'AWS::EC2::VPC::Id',
        description: 'VPC ID to run ECS task, e.g. vpc-bef13dc7',
      },
      {
        name: 'ecsSubnetA',
        label: 'First subnet',
        type: 'AWS::EC2::Subnet::Id',
        description: 'Subnet IDs to run ECS task. Please provide two subnet IDs for high availability.',
      },
      {
        name: 'ecsSubnetB',
        label: 'Second subnet',
        type: 'AWS::EC2::Subnet::Id',
        description: 'Subnet IDs to run ECS task. Please provide two subnet IDs for high availability.',
      },
      {
        name: 'assignPublicIp',
        label: 'Public IP addresses',
        default: 'ENABLED',
        values: ['ENABLED', 'DISABLED'],
        description:
          'ENABLED for public subnets (nothing can connect to the tasks). DISABLED for subnets with a NAT gateway or VPC endpoints.',
      },
    ],
  },
  {
    label: 'When, and who hears of failures',
    parameters: [
      {
        name: 'schedule',
        label: 'Schedule',
        default: 'rate(1 day)',
        pattern:
          '^(once|rate\\([1-9][0-9]* (minutes?|hours?|days?)\\)|cron\\([A-Za-z0-9,*/?#L -]+\\)|at\\([0-9T:-]+\\))$',
        told: 'rate(1 day), cron(0 3 * * ? *), at(2030-01-01T03:00:00) or once',
        description:
          'rate(...), cron(...) or at(...) as EventBridge Scheduler takes them. A run starts right after deployment in any case; once: only that one.',
      },
      {
        name: 'scheduleTimezone',
        label: 'Time zone',
        default: 'UTC',
        pattern: '^[A-Za-z0-9_+/-]{1,50}$',
        told: 'a name such as Europe/Berlin',
        description: 'Time zone of the schedule.',
      },
      {
        name: 'alarmEmail',
        label: 'Alarm address',
        default: '',
        pattern: '^([^@\\s"\\\\]+@[^@\\s"\\\\]+)?$',
        told: 'name@example.com',
        description:
          'Alarm Email address to receive notification in case of any failure. It has to be confirmed by the link in the mail that AWS sends.',
      },
      {
        name: 'alarmAfterHours',
        label: 'Hours without success',
        type: 'Number',
        default: 48,
        min: 1,
        // Periods of an hour may cover a week at most (PutMetricAlarm).
        max: 168,
        description: 'Alarm when no run has succeeded for so many hours: two intervals of the schedule.',
      },
    ],
  },
  {
    label: 'Workers',
    parameters: [
      {
        name: 'workerImage',
        label: 'Container image',
        pattern: '^[A-Za-z0-9][A-Za-z0-9._:/@-]+$',
        told: 'a reference such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/image-replication:1.0',
        description: 'Image of this program (deploy/Dockerfile), in a private ECR or a public registry.',
      },
      {
        name: 'workerArchitecture',
        label: 'Architecture',
        default: 'X86_64',
        values: ['X86_64', 'ARM64'],
        description: 'Architecture of the image.',
      },
      {
        name: 'workerCpu',
        label: 'CPU units',
        type: 'Number',
        default: 1024,
        values: [256, 512, 1024, 2048, 4096, 8192, 16384],
        description: 'CPU units of a task; 1024 are one vCPU. Bandwidth grows with them.',
      },
      {
        name: 'workerMemory',
        label: 'Memory',
        type: 'Number',
        default: 2048,
        min: 512,
        max: 122880,
        description: 'Memory of a task in MiB; Fargate takes certain combinations with CPU only.',
      },
      {
        name: 'workerDisk',
        label: 'Disk',
        type: 'Number',
        default: 50,
        min: 21,
        max: 200,
        description: 'Disk of a task in GiB. Blobs that go to several repositories are kept on it for a while.',
      },
      {
        name: 'maxConcurrency',
        label: 'Workers at the same time',
        type: 'Number',
        default: 10,
        min: 1,
        max: 1000,
        description: 'Tasks that copy at the same time.',
      },
      {
        name: 'tries',
        label: 'Tries',
        type: 'Number',
        default: 3,
        values: [1, 2, 3, 4, 5],
        description: 'How often an image is tried in a task, and how often a task is started that was lost.',
      },
    ],
  },
  {
    label: 'Job eks only',
    parameters: [
      {
        name: 'eksProject',
        label: 'Project',
        default: '',
        pattern: '^([a-z0-9][a-z0-9.-]{0,30})?$',
        told: 'lower case letters, digits and hyphens',
        description: 'Project of the Seed-Farmer module: repositories are named PROJECT-...',
      },
      {
        name: 'eksDeployment',
        label: 'Deployment',
        default: '',
        pattern: name,
        told: 'letters, digits and . _ -',
        description: 'Deployment of the Seed-Farmer module.',
      },
      {
        name: 'eksModule',
        label: 'Module',
        default: '',
        pattern: name,
        told: 'letters, digits and . _ -',
        description: 'Module, as GROUP-MODULE.',
      },
      {
        name: 'helmRepoSecretName',
        label: 'Secret',
        default: '',
        pattern: secret,
        told: 'the name of a secret',
        description: 'Secret in Secrets Manager with credentials of private chart and image hosts.',
      },
      {
        name: 'helmRepoSecretKey',
        label: 'Key in the secret',
        default: '',
        pattern: secret,
        told: 'a key',
        description: 'Key in that secret.',
      },
    ],
  },
  {
    label: 'Account',
    parameters: [
      {
        name: 'credentialKey',
        label: 'Key of the credentials',
        default: '',
        pattern: '^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$',
        told: 'the ARN of a KMS key',
        description: "KMS key that the SecureStrings are encrypted with, when it is not the account's alias/aws/ssm.",
      },
      {
        name: 'permissionsBoundary',
        label: 'Permissions boundary',
        default: '',
        pattern: '^(arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]+)?$',
        told: 'the ARN of a policy',
        description: 'Permissions boundary of all roles of the stack.',
      },
      {
        name: 'logRetentionDays',
        label: 'Days of logs',
        type: 'Number',
        default: 30,
        values: [
          1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
        ],
        description: 'How long logs are kept.',
      },
      {
        name: 'runRetentionDays',
        label: 'Days of runs',
        type: 'Number',
        default: 90,
        min: 1,
        max: 3650,
        description: 'How long plans, shards and reports are kept.',
      },
    ],
  },
] as const satisfies readonly Group[];

export type ParameterName = (typeof parameterGroups)[number]['parameters'][number]['name'];

/** Declares all parameters, and how the console groups them. */
export function declareParameters(stack: Stack): void {
  const groups: readonly Group[] = parameterGroups;
  const all = groups.flatMap((group) => group.parameters);
  for (const each of all)
    new CfnParameter(stack, each.name, {
      type: each.type ?? 'String',
      description: each.description,
      ...(each.default === undefined ? {} : { default: String(each.default) }),
      ...(each.values === undefined ? {} : { allowedValues: each.values.map(String) }),
      ...(each.pattern === undefined ? {} : { allowedPattern: each.pattern }),
      ...(each.told === undefined ? {} : { constraintDescription: each.told }),
      ...(each.longest === undefined ? {} : { maxLength: each.longest }),
      ...(each.min === undefined ? {} : { minValue: each.min }),
      ...(each.max === undefined ? {} : { maxValue: each.max }),
    });
  stack.templateOptions.metadata = {
    'AWS::CloudFormation::Interface': {
      ParameterGroups: groups.map(({ label, parameters }) => ({
        Label: { default: label },
        Parameters: parameters.map((each) => each.name),
      })),
      ParameterLabels: Object.fromEntries(all.map((each) => [each.name, { default: each.label }])),
    },
  };
}
