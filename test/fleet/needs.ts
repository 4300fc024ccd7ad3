import * as z from 'zod';
import type { Need } from '../iam/compare.ts';

/** A request to AWS, as its receiver sees it. */
export interface AwsRequest {
  /** As the signature names it: `s3`, `dynamodb`, `states`, … */
  readonly service: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly method: string;
  readonly path: string;
  readonly target: string;
  readonly body: string;
}

/** Service, region and caller are in the signature's scope: reference_sigv-create-signed-request.html of IAM. */
export function scopeOf(authorization: string | undefined): Pick<AwsRequest, 'service' | 'region' | 'accessKeyId'> {
  const [, accessKeyId = '', region = '', service = ''] =
    /Credential=([^/]+)\/\d+\/([^/]+)\/([^/]+)\//.exec(authorization ?? '') ?? [];
  return { accessKeyId, region, service };
}

const Json = z.looseObject({});

/**
 * The permissions that a request needs: https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html
 * @param account whose tables, parameters and executions are meant
 */
export function needsOf(request: AwsRequest, account: string): readonly Need[] {
  const { service, region } = request;
  const arn = (rest: string) => `arn:aws:${service}:${region}:${account}:${rest}`;
  switch (service) {
    case 's3':
      return s3Needs(request);
    case 'dynamodb':
      return tablesOf(request.body).map((table) => ({
        action: `dynamodb:${operationOf(request)}`,
        resource: arn(`table/${table}`),
      }));
    case 'states':
      return [statesNeed(request)];
    case 'sns':
      return [{ action: `sns:${field(request, 'Action')}`, resource: field(request, 'TopicArn') }];
    case 'ssm':
      return [{ action: `ssm:${operationOf(request)}`, resource: arn(`parameter/${field(request, 'Name')}`) }];
    case 'ecs':
      // moto asks for the task's description after RunTask. Step Functions does so for `.sync` only:
      // https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html (IAM policies for calling Amazon ECS).
      if (operationOf(request) === 'DescribeTasks') return [];
      // A family without a revision is its latest: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
      return [
        {
          action: `ecs:${operationOf(request)}`,
          resource: arn(`task-definition/${field(request, 'taskDefinition')}:1`),
        },
      ];
    case 'sts': {
      const action = field(request, 'Action');
      // GetCallerIdentity needs no permission (it works even with an explicit deny).
      return action === 'GetCallerIdentity' ? [] : [{ action: `sts:${action}`, resource: field(request, 'RoleArn') }];
    }
    case 'monitoring':
      return [{ action: 'cloudwatch:PutMetricData', resource: '*' }];
    default:
      return [{ action: `${service}:${operationOf(request)}`, resource: '*' }];
  }
}

/**
 * That an object is not there S3 tells only who may list the bucket; others are refused with 403.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
 */
export function needsOfAnswer({ service, path }: AwsRequest, status: number): readonly Need[] {
  const [bucket = ''] = new URL(path, 'http://any').pathname.slice(1).split('/');
  return service === 's3' && status === 404 ? [{ action: 's3:ListBucket', resource: `arn:aws:s3:::${bucket}` }] : [];
}

function operationOf({ target }: AwsRequest): string {
  return target.split('.').at(-1) ?? '';
}

/** A field of a JSON or a form body; empty when there is none. */
function field({ body }: AwsRequest, name: string): string {
  if (!body.startsWith('{')) return new URLSearchParams(body).get(name) ?? '';
  const value = Json.parse(JSON.parse(body))[name];
  return typeof value === 'string' ? value : '';
}

function tablesOf(body: string): readonly string[] {
  const { TableName, RequestItems } = z
    .object({ TableName: z.string().optional(), RequestItems: z.record(z.string(), z.unknown()).optional() })
    .parse(JSON.parse(body));
  return TableName === undefined ? Object.keys(RequestItems ?? {}) : [TableName];
}

/** What is done by task token takes no resource: list_stepfunctions.html. */
function statesNeed(request: AwsRequest): Need {
  const resource = field(request, 'executionArn') || field(request, 'stateMachineArn') || '*';
  return { action: `states:${operationOf(request)}`, resource };
}

const objectActions: Readonly<Record<string, string>> = { PUT: 'PutObject', GET: 'GetObject', HEAD: 'GetObject' };

function s3Needs({ method, path }: AwsRequest): readonly Need[] {
  const [bucket = '', ...rest] = new URL(path, 'http://any').pathname.slice(1).split('/');
  const key = rest.join('/');
  if (key === '') return [{ action: 's3:ListBucket', resource: `arn:aws:s3:::${bucket}` }];
  return [{ action: `s3:${objectActions[method] ?? method}`, resource: `arn:aws:s3:::${bucket}/${key}` }];
}
