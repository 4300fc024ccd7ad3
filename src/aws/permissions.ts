/** One call that was made to AWS: what the SDK was asked, before any retry. */
export interface AwsCall {
  readonly service: AwsService;
  /** Operation as the service's model calls it, such as `DescribeRepositories`. */
  readonly operation: string;
  readonly input: unknown;
}

export type AwsService = 'ecr' | 's3' | 'secretsmanager' | 'sts' | 'ssm' | 'sns' | 'dynamodb' | 'states';

/**
 * IAM actions whose name differs from their operation's.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
 */
const s3Actions: Readonly<Record<string, string>> = {
  HeadBucket: 'ListBucket',
  ListObjectsV2: 'ListBucket',
  ListObjectVersions: 'ListBucketVersions',
  GetPublicAccessBlock: 'GetBucketPublicAccessBlock',
  PutPublicAccessBlock: 'PutBucketPublicAccessBlock',
  GetBucketEncryption: 'GetEncryptionConfiguration',
  PutBucketEncryption: 'PutEncryptionConfiguration',
};

/** The IAM actions that a call needs, such as `ecr:CreateRepository`. Most need one. */
export function actionsOf(call: AwsCall): readonly string[] {
  if (call.service !== 's3') {
    const tagged = call.service === 'ecr' && call.operation === 'CreateRepository' && 'tags' in fieldsOf(call.input);
    // A repository that is created with tags needs ecr:TagResource as well (ECR user guide, "Tagging resources during creation").
    return [`${call.service}:${call.operation}`, ...(tagged ? ['ecr:TagResource'] : [])];
  }
  if (call.operation === 'DeleteObjects') return deletions(fieldsOf(call.input)['Delete']);
  return [`s3:${s3Actions[call.operation] ?? call.operation}`];
}

function deletions(request: unknown): readonly string[] {
  const objects = fieldsOf(request)['Objects'];
  const withVersion = (object: unknown): boolean => fieldsOf(object)['VersionId'] !== undefined;
  const list: readonly unknown[] = Array.isArray(objects) ? objects : [];
  const actions = new Set(list.map((object) => (withVersion(object) ? 's3:DeleteObjectVersion' : 's3:DeleteObject')));
  return actions.size === 0 ? ['s3:DeleteObject'] : [...actions];
}

const arns = ['resourceArn', 'stateMachineArn', 'executionArn', 'mapRunArn'];

/** What a call is about, as text: `repository/app-nginx`, `s3://bucket/key`, a secret's name, an ARN; `*` if nothing is named. */
export function resourceOf(call: AwsCall): string {
  const fields = fieldsOf(call.input);
  const text = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  if (call.service === 's3') {
    const bucket = text('Bucket') ?? '*';
    const key = text('Key');
    return key === undefined ? `s3://${bucket}` : `s3://${bucket}/${key}`;
  }
  const names: unknown = fields['repositoryNames'];
  const first: unknown = Array.isArray(names) ? names[0] : undefined;
  const repository = text('repositoryName') ?? (typeof first === 'string' ? first : undefined);
  if (repository !== undefined) return `repository/${repository}`;
  const field = [...arns, 'SecretId', 'RoleArn', 'TopicArn', 'TableName', 'Name'].find(
    (each) => text(each) !== undefined,
  );
  return field === undefined ? '*' : (text(field) ?? '*');
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
