import * as z from 'zod';
import { type Answer, AnswerError, jsonAnswer } from './answer.ts';
import { imageOperations } from './ecr-images.ts';
import { apiError, type Operation } from './ecr-operation.ts';
import { repositoryOperations } from './ecr-repositories.ts';
import type { Exchange } from './http-host.ts';
import type { RegistryContext } from './registry-context.ts';
import { repositoryArn } from './registry-uploads.ts';

const operations: Readonly<Record<string, Operation>> = { ...repositoryOperations, ...imageOperations };

/** Whose request it was, as its SigV4 signature says (which is not verified). */
export interface Caller {
  readonly accessKeyId: string;
  readonly region: string;
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
export function callerOf(authorization: string | undefined): Caller | undefined {
  const match = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/\d{8}\/([^/]+)\/ecr\/aws4_request/.exec(authorization ?? '');
  return match?.[1] === undefined || match[2] === undefined ? undefined : { accessKeyId: match[1], region: match[2] };
}

/**
 * ECR's own interface: JSON 1.1 over POST /, operation in X-Amz-Target, errors as `{__type, message}` with status 400.
 * https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
 */
export async function answerApi(context: RegistryContext, exchange: Exchange): Promise<Answer> {
  const body = await readJson(exchange);
  if (callerOf(exchange.headers.authorization) === undefined) {
    throw apiError('MissingAuthenticationTokenException', 'Missing Authentication Token');
  }
  const name = exchange.entry.action ?? '';
  const operation = Object.hasOwn(operations, name) ? operations[name] : undefined;
  if (operation === undefined) throw apiError('UnknownOperationException', `operation ${name} is not known here`);
  const input = operation.input.safeParse(body);
  if (!input.success) {
    const issue = input.error.issues[0];
    const where = issue?.path.join('.') ?? '';
    throw apiError(
      'InvalidParameterException',
      `Invalid parameter at '${where}' failed to satisfy constraint: '${issue?.message ?? ''}'`,
    );
  }
  for (const [action, resource] of permissions(context, name, body)) {
    const denied = context.iam.check(action, resource);
    if (denied !== undefined) throw apiError('AccessDeniedException', denied);
  }
  const output = operation.run(context, input.data);
  return jsonAnswer(200, output, { 'content-type': 'application/x-amz-json-1.1' });
}

const Subject = z.looseObject({
  repositoryName: z.string().optional(),
  repositoryNames: z.array(z.string()).nullish(),
  resourceArn: z.string().optional(),
  tags: z.array(z.unknown()).nullish(),
  encryptionConfiguration: z.looseObject({ encryptionType: z.string(), kmsKey: z.string().optional() }).nullish(),
});

/**
 * IAM actions of an operation. Creating with tags needs TagResource too, creating with a KMS key the grants on that key:
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html,
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/encryption-at-rest.html
 */
function permissions(context: RegistryContext, name: string, body: unknown): readonly (readonly [string, string])[] {
  const subject = Subject.safeParse(body).data ?? {};
  // "The IAM principal invoking this operation must have the ecr:BatchGetImage permission" (API_ListImageReferrers.html).
  const action = name === 'ListImageReferrers' ? 'ecr:BatchGetImage' : `ecr:${name}`;
  const names = subject.repositoryNames ?? (subject.repositoryName === undefined ? [] : [subject.repositoryName]);
  const resources =
    subject.resourceArn === undefined ? names.map((each) => repositoryArn(context, each)) : [subject.resourceArn];
  if (name === 'DescribeRepositories' && resources.length === 0) resources.push(repositoryArn(context, '*'));
  const needed: (readonly [string, string])[] = (resources.length === 0 ? ['*'] : resources).map((each) => [
    action,
    each,
  ]);
  if (name !== 'CreateRepository') return needed;
  const [resource = '*'] = resources;
  if ((subject.tags ?? []).length > 0) needed.push(['ecr:TagResource', resource]);
  const encryption = subject.encryptionConfiguration;
  if (encryption?.encryptionType.startsWith('KMS') === true) {
    const key =
      encryption.kmsKey ??
      `arn:${context.account.partition}:kms:${context.account.region}:${context.account.id}:alias/aws/ecr`;
    for (const kms of ['kms:CreateGrant', 'kms:RetireGrant', 'kms:DescribeKey']) needed.push([kms, key]);
  }
  return needed;
}

async function readJson(exchange: Exchange): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of exchange.body) chunks.push(chunk as Buffer);
  try {
    const json: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}');
    return json;
  } catch {
    throw new AnswerError(jsonAnswer(400, { __type: 'SerializationException' }));
  }
}
