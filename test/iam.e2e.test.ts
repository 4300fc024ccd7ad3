import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Need, notGranted, notNeeded } from './iam/compare.ts';
import { parameters, recordedNeeds } from './iam/scenarios.ts';
import { type Statement, statementsOf } from './iam/template.ts';
import { onceUnlessRetried } from './story.ts';
import { describeWith, requireTool, root } from './tools.ts';

const file = join(root, 'modulestack.yaml');
const text = readFileSync(file, 'utf8');

function statements(parameters: Readonly<Record<string, string>> = {}, partition = 'aws'): readonly Statement[] {
  const needed = { ProjectName: 'app', RoleName: 'role' };
  return statementsOf(text, {
    partition,
    region: 'eu-central-1',
    account: '123456789012',
    parameters: { ...needed, ...parameters },
  });
}

const sids = (list: readonly Statement[]): readonly string[] => list.map((each) => each.sid);
const always = ['Registry', 'ListRepositories', 'Repositories', 'PullSources', 'ResultBucket', 'ResultObjects'];

describe('modulestack.yaml', () => {
  it('grants reading a secret only where the manifest names one, each by itself', () => {
    expect(sids(statements())).toEqual(always);
    expect(sids(statements({ HelmRepoSecretName: 'a' }))).toEqual([...always, 'HelmRepoSecret']);
    expect(sids(statements({ HelmDistroSecretName: 'b' }))).toEqual([...always, 'HelmDistroSecret']);
    const secrets = statements({ HelmRepoSecretName: 'team/a', HelmDistroSecretName: 'b' }).filter((each) =>
      each.sid.startsWith('Helm'),
    );
    const arn = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:';
    const read = (name: string): Need => ({ action: 'secretsmanager:GetSecretValue', resource: `${arn}${name}` });
    expect(notGranted([read('team/a-AbCdEf'), read('b-123456')], secrets)).toEqual([]);
    expect(notGranted([read('team/a-other-AbCdEf'), read('c-123456')], secrets)).toHaveLength(2);
  });

  it('grants the use of a key only where one is named, and only through ECR', () => {
    for (const none of ['', 'AES256', 'KMS']) expect(sids(statements({ EncryptionKey: none }))).toEqual(always);
    const key = statements({ EncryptionKey: 'alias/images' }).find((each) => each.sid === 'EncryptionKey');
    expect(key?.condition).toEqual({ StringLike: { 'kms:ViaService': 'ecr.eu-central-1.*' } });
  });

  it('writes to the repositories and the bucket of its own project only', () => {
    const put = (repository: string): Need => ({
      action: 'ecr:PutImage',
      resource: `arn:aws:ecr:eu-central-1:123456789012:repository/${repository}`,
    });
    expect(notGranted([put('app-docker.io/library/nginx')], statements())).toEqual([]);
    expect(notGranted([put('app2-nginx'), put('app'), put('other')], statements())).toHaveLength(3);
    const bucket = 'arn:aws:s3:::app-dkr-img-rep-md-eu-central-1-123456789012';
    const object = (name: string): Need => ({ action: 's3:PutObject', resource: `${name}/d-g-m-metadata.json` });
    expect(notGranted([object(bucket)], statements())).toEqual([]);
    expect(notGranted([object(`${bucket}0`), object('arn:aws:s3:::app')], statements())).toHaveLength(2);
  });

  it('names every resource in its own partition', () => {
    for (const partition of ['aws-cn', 'aws-us-gov', 'aws-iso']) {
      const all = statements({ HelmRepoSecretName: 'a', HelmDistroSecretName: 'b', EncryptionKey: 'k' }, partition);
      for (const resource of all.flatMap((each) => each.resources))
        expect(resource === '*' || resource.startsWith(`arn:${partition}:`), resource).toBe(true);
    }
  });

  it('has no wildcard in an action', () => {
    const all = statements({ HelmRepoSecretName: 'a', HelmDistroSecretName: 'b', EncryptionKey: 'k' });
    expect(all.flatMap((each) => each.actions).filter((action) => action.includes('*'))).toEqual([]);
  });
});

describe('the comparison of needs and grants', () => {
  const granted: readonly Statement[] = [
    { resource: 'P', sid: 'A', actions: ['s3:Get*', 's3:Put?'], resources: ['arn:x/*'], condition: undefined },
  ];
  it('knows the wildcards of IAM', () => {
    expect(notGranted([{ action: 'S3:getObject', resource: 'arn:x/a/b' }], granted)).toEqual([]);
    expect(notGranted([{ action: 's3:PutXY', resource: 'arn:x/a' }], granted)).toEqual(['s3:PutXY on arn:x/a']);
  });
  it('finds grants that nothing needs', () => {
    expect(notNeeded([{ action: 's3:GetObject', resource: 'arn:x/a' }], granted)).toEqual(['A s3:Put?']);
  });
});

describeWith(['helm3'], 'what the module needs, recorded from its runs', () => {
  const region = 'eu-west-1';
  let needs: readonly Need[];
  let granted: readonly Statement[];
  onceUnlessRetried(record, () => Promise.resolve());
  async function record(): Promise<void> {
    needs = [...(await recordedNeeds(true)), ...(await recordedNeeds(false))];
    const settings = { partition: 'aws', region, account: '123456789012' };
    granted = statementsOf(text, { ...settings, parameters: { ProjectName: 'app', RoleName: 'role', ...parameters } });
  }

  it('is granted by modulestack.yaml alone', () => {
    expect(notGranted(needs, granted)).toEqual([]);
  });

  it('is all that modulestack.yaml grants', () => {
    expect(notNeeded(needs, granted)).toEqual([]);
  });
});

describeWith(['cfn-lint'], 'cfn-lint', () => {
  it('finds nothing to complain about, in any partition', () => {
    const regions = ['us-east-1', 'eu-central-1', 'us-gov-west-1', 'cn-north-1', 'us-iso-east-1'];
    execFileSync(requireTool('cfn-lint'), ['--regions', ...regions, '--', file], { stdio: 'pipe' });
  });
});
