import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CloudFormationClient, CreateStackCommand, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { requireTool, root } from '../tools.ts';

/** moto's account (moto/core/__init__.py, DEFAULT_ACCOUNT_ID). */
export const accountId = '123456789012';

/** An AWS account made by moto, in this machine's memory. */
export interface Account {
  /** URL for AWS_ENDPOINT_URL: all services but those with an own address. */
  readonly endpoint: string;
  readonly region: string;
  /** What any AWS program needs in its environment to use this account. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/**
 * Starts moto on a free port. Stop it when done: it is a process of its own.
 * @param settings more of moto's environment, such as MOTO_PORT
 */
export async function startAccount(region: string, settings: Readonly<Record<string, string>> = {}): Promise<Account> {
  const server = spawn(requireTool('moto_server'), ['-H', '127.0.0.1', '-p', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...settings },
  });
  const endpoint = await announcedUrl(server);
  const environment = {
    AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_ENDPOINT_URL: endpoint,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  return {
    endpoint,
    region,
    environment,
    async stop() {
      if (server.exitCode !== null || server.signalCode !== null) return;
      const gone = once(server, 'exit');
      server.kill('SIGKILL');
      await gone;
    },
  };
}

/** The URL that werkzeug prints when it listens. Its later lines (one a request) are read and dropped. */
async function announcedUrl(server: ChildProcess): Promise<string> {
  if (server.stderr === null) throw new Error('moto_server has no stderr');
  const lines = createInterface({ input: server.stderr });
  const seen: string[] = [];
  return new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const url = /Running on (http:\/\/\S+)/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
      else if (seen.length < 20) seen.push(line);
    });
    server.once('error', reject);
    server.once('exit', (code) => reject(new Error(`moto_server ended with ${String(code)}: ${seen.join('\n')}`)));
  });
}

/** Configuration of a JavaScript SDK client of this account. */
export function clientSettings(account: Account) {
  return {
    endpoint: account.endpoint,
    region: account.region,
    credentials: {
      accessKeyId: account.environment['AWS_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: account.environment['AWS_SECRET_ACCESS_KEY'] ?? '',
    },
  };
}

/**
 * What `seedfarmer bootstrap` and the first apply of a project leave in an account, as far as `--local` looks for it.
 * Made by CreateStack: the change sets that Seed-Farmer uses give no outputs in moto, and moto refuses the seedkit's KMS
 * key. The project policy is Seed-Farmer's own. Idempotent; a destroy takes some of these stacks away.
 */
export async function prepareProject(account: Account, project: string): Promise<void> {
  const client = new CloudFormationClient(clientSettings(account));
  const lower = project.toLowerCase();
  try {
    await ensureStack(client, `aws-codeseeder-${lower}`, JSON.stringify(seedkit(lower)), {});
    await ensureStack(client, `seedfarmer-${lower}-artifacts`, JSON.stringify(artifacts(lower)), {});
    await forgetLeftPolicy(account, `${lower}-managed-policy`);
    await ensureStack(client, `${lower}-managed-policy`, readFileSync(projectPolicyPath(), 'utf8'), {
      ProjectName: project,
      ProjectNameLower: lower,
      DeploymentName: 'any',
    });
  } finally {
    client.destroy();
  }
}

/** Seed-Farmer's default project policy: what every module role is granted besides its own modulestack. */
function projectPolicyPath(): string {
  const library = join(root, '.venv/lib');
  const python = readdirSync(library).find((name) => name.startsWith('python'));
  return join(library, python ?? 'python', 'site-packages/seedfarmer/resources/projectpolicy.yaml');
}

/** moto keeps the policy of a deleted stack, and then refuses to make the stack again. */
async function forgetLeftPolicy(account: Account, stack: string): Promise<void> {
  const client = new CloudFormationClient(clientSettings(account));
  const { Stacks = [] } = await client.send(new DescribeStacksCommand({}));
  client.destroy();
  if (Stacks.some((each) => each.StackName === stack && each.StackStatus !== 'DELETE_COMPLETE')) return;
  const { region } = clientSettings(account);
  await fetch(account.endpoint, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/x-www-form-urlencoded',
      // moto reads the service out of the signature's scope and verifies nothing.
      Authorization: `AWS4-HMAC-SHA256 Credential=any/20260101/${region}/iam/aws4_request, SignedHeaders=host, Signature=any`,
    },
    body: new URLSearchParams({
      Action: 'DeletePolicy',
      Version: '2010-05-08',
      PolicyArn: `arn:aws:iam::${accountId}:policy/${stack}-${region}`,
    }),
  });
}

async function ensureStack(
  client: CloudFormationClient,
  name: string,
  template: string,
  parameters: Readonly<Record<string, string>>,
): Promise<void> {
  const { Stacks = [] } = await client.send(new DescribeStacksCommand({}));
  if (Stacks.some((stack) => stack.StackName === name && stack.StackStatus !== 'DELETE_COMPLETE')) return;
  await client.send(
    new CreateStackCommand({
      StackName: name,
      TemplateBody: template,
      Capabilities: ['CAPABILITY_NAMED_IAM'],
      Parameters: Object.entries(parameters).map(([ParameterKey, ParameterValue]) => ({
        ParameterKey,
        ParameterValue,
      })),
    }),
  );
}

function seedkit(project: string): unknown {
  const nothing = {
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Action: 'codebuild:BatchGetBuilds', Resource: '*' }],
  };
  return {
    Resources: {
      Bucket: { Type: 'AWS::S3::Bucket', Properties: { BucketName: `codeseeder-${project}-${accountId}` } },
      SeedkitResourcesPolicy: {
        Type: 'AWS::IAM::ManagedPolicy',
        Properties: { ManagedPolicyName: `codeseeder-${project}-resources`, PolicyDocument: nothing },
      },
    },
    Outputs: {
      DeployId: { Value: 'test' },
      Bucket: { Value: { Ref: 'Bucket' } },
      SeedkitResourcesPolicyArn: { Value: { Ref: 'SeedkitResourcesPolicy' } },
      CodeBuildProject: { Value: `codeseeder-${project}` },
      CodeBuildProjectBuildImage: { Value: 'aws/codebuild/amazonlinux2-x86_64-standard:5.0' },
    },
  };
}

function artifacts(project: string): unknown {
  const name = `seedfarmer-${project}-artifacts-no-delete`;
  return {
    Resources: { Bucket: { Type: 'AWS::S3::Bucket', Properties: { BucketName: name } } },
    Outputs: { Bucket: { Value: { Ref: 'Bucket' } } },
  };
}
