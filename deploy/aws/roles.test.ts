import { describe, expect, it } from 'vitest';
import { deployment, grantsWith, template } from './testing/deployed.ts';
import { lacking, roleGrants, unused } from './testing/role-grants.ts';

describe('what roles may do', () => {
  const actions = (role: string, parameters: Readonly<Record<string, string>> = {}) =>
    (grantsWith(parameters)[role] ?? []).flatMap((each) => each.actions);
  const ecr = (action: string, repository: string, place = 'eu-west-1:123456789012') => ({
    action: `ecr:${action}`,
    resource: `arn:aws:ecr:${place}:repository/${repository}`,
  });

  it('has no wildcard in an action, and in a resource only where that is explained', () => {
    for (const parameters of [
      {},
      { job: 'eks', eksProject: 'demo', jobInput: 's3://bucket/lock', helmRepoSecretName: 's' },
    ]) {
      const statements = Object.values(grantsWith(parameters)).flat();
      expect(statements.flatMap((each) => each.actions).filter((action) => action.includes('*'))).toEqual([]);
      for (const { resource, sid, resources } of statements.filter((each) => /[*?]/.test(each.resources.join()))) {
        // Arn of a log group, as GetAtt gives it: its streams.
        if (resources.every((each) => /^arn:aws:logs:.*:\*$/.test(each))) continue;
        const metadata = JSON.stringify(template.Resources[resource]?.['Metadata']);
        expect(metadata, `${resource} ${sid}`).toContain(`${sid}: `);
      }
    }
  });

  it('names every resource in its own partition', () => {
    for (const partition of ['aws', 'aws-cn', 'aws-us-gov'])
      for (const each of Object.values(grantsWith({}, partition)).flat())
        for (const resource of each.resources) expect(resource).toMatch(new RegExp(`^(\\*|arn:${partition}:.*)$`));
  });

  it('gives the workers the prefix at the destination, and reading at the source', () => {
    const grants = grantsWith({ srcRegion: 'us-east-1', destPrefix: 'mirror' });
    const WorkerRole = { role: 'WorkerRole' };
    const right = [ecr('PutImage', 'mirror/app'), ecr('BatchGetImage', 'app', 'us-east-1:123456789012')];
    expect(
      lacking(
        right.map((need) => ({ ...WorkerRole, ...need })),
        grants,
      ),
    ).toEqual([]);
    const wrong = [
      ecr('PutImage', 'app'),
      ecr('PutImage', 'mirror/app', 'us-east-1:123456789012'),
      ecr('DeleteRepository', 'mirror/app'),
    ];
    expect(
      lacking(
        wrong.map((need) => ({ ...WorkerRole, ...need })),
        grants,
      ),
    ).toHaveLength(3);
    expect(actions('PlanRole').filter((action) => /Put(?!Object)|Upload|Create|Delete/.test(action))).toEqual([]);
  });

  it('gives no rights at registries that other credentials open, and these credentials alone', () => {
    const role = 'arn:aws:iam::210987654321:role/reader';
    const parameters = {
      srcAccountId: '210987654321',
      srcRole: role,
      destAccountId: '310987654321',
      destCredential: '/keys/dest',
    };
    for (const id of ['PlanRole', 'WorkerRole']) {
      expect(actions(id, parameters).filter((action) => action.startsWith('ecr:'))).toEqual([
        'ecr:GetAccountSetting',
        'ecr:GetAuthorizationToken',
      ]);
      const statements = grantsWith(parameters)[id] ?? [];
      const of = (action: string) =>
        statements.filter((each) => each.actions.includes(action)).flatMap((each) => each.resources);
      expect(of('sts:AssumeRole')).toEqual([role]);
      expect(of('ssm:GetParameter')).toEqual(['arn:aws:ssm:eu-west-1:123456789012:parameter/keys/dest']);
    }
    expect(actions('SummaryRole', parameters).filter((action) => /^(ssm|sts|ecr):/.test(action))).toEqual([]);
  });

  it('reads drh-credentials for another account only, and its key only where one is named', () => {
    const read = (parameters: Readonly<Record<string, string>>) =>
      (grantsWith(parameters)['WorkerRole'] ?? []).filter(({ actions: [first] }) => /^(ssm|kms):/.test(first ?? ''));
    expect(read({})).toEqual([]);
    const other = read({ srcAccountId: '210987654321' });
    expect(other.flatMap((each) => each.resources)).toEqual([
      'arn:aws:ssm:eu-west-1:123456789012:parameter/drh-credentials',
    ]);
    const key = 'arn:aws:kms:eu-west-1:123456789012:key/0f1e';
    expect(read({ credentialKey: key })).toEqual([]);
    expect(read({ srcAccountId: '210987654321', credentialKey: key }).map((each) => each.actions)).toContainEqual([
      'kms:Decrypt',
    ]);
  });

  it.each([
    [
      '111111111111.dkr.ecr.eu-west-1.amazonaws.com/tools/image-replication:1.0',
      'aws',
      'eu-west-1:111111111111:repository/tools/image-replication',
    ],
    ['111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn/a@sha256:00', 'aws-cn', 'cn-north-1:111111111111:repository/a'],
    ['111111111111.dkr.ecr.us-gov-west-1.amazonaws.com/a', 'aws-us-gov', 'us-gov-west-1:111111111111:repository/a'],
    [
      '111111111111.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a/b:1',
      'aws-us-gov',
      'us-gov-west-1:111111111111:repository/a/b',
    ],
    ['111111111111.dkr-ecr.eu-west-1.on.aws/a/b:1', 'aws', 'eu-west-1:111111111111:repository/a/b'],
    ['111111111111.dkr-ecr-fips.us-east-1.on.aws/a', 'aws', 'us-east-1:111111111111:repository/a'],
    [
      '111111111111.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn/a@sha256:00',
      'aws-cn',
      'cn-north-1:111111111111:repository/a',
    ],
    ['public.ecr.aws/team/image-replication:1.0', 'aws', undefined],
    ['ghcr.io/team/image-replication:1.0', 'aws', undefined],
  ])('fetches %s by the name of its repository', (workerImage, partition, repository) => {
    const statements = grantsWith({ workerImage }, partition)['ExecutionRole'] ?? [];
    const image = statements.filter((each) => each.sid === 'Image').flatMap((each) => each.resources);
    expect(image).toEqual(repository === undefined ? [] : [`arn:${partition}:ecr:${repository}`]);
  });

  it('lets the removal end runs and empty their bucket, and nothing else', () => {
    const bucket = 'arn:aws:s3:::replication-runsbucket';
    const states = 'arn:aws:states:eu-west-1:123456789012';
    const needs = [
      { action: 'states:ListExecutions', resource: `${states}:stateMachine:replication-StateMachine` },
      { action: 'states:StopExecution', resource: `${states}:execution:replication-StateMachine:a-b` },
      { action: 's3:ListBucketVersions', resource: bucket },
      { action: 's3:DeleteObject', resource: `${bucket}/runs/a/plan.json` },
      { action: 's3:DeleteObjectVersion', resource: `${bucket}/runs/a/plan.json` },
    ].map((need) => ({ role: 'RemovalRole', ...need }));
    const grants = grantsWith();
    expect(lacking(needs, grants)).toEqual([]);
    // What Lambda itself does with the role.
    expect(unused(needs, grants, ['RemovalRole'])).toEqual([
      'RemovalRole: Logs logs:CreateLogStream',
      'RemovalRole: Logs logs:PutLogEvents',
    ]);
    const other = `${states}:execution:replication-StateMachine2:a-b`;
    expect(lacking([{ role: 'RemovalRole', action: 'states:StopExecution', resource: other }], grants)).toHaveLength(1);
  });

  it('stays within the size that IAM takes of the policies of a role', () => {
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: inline policies of a role, without white space
    const long = { ecsClusterName: 'c'.repeat(255), destPrefix: 'p'.repeat(200), srcRegion: 'ap-southeast-3' };
    const keys = { srcCredential: `/${'a'.repeat(1010)}`, destCredential: `/${'b'.repeat(1010)}` };
    const eks = { job: 'eks', eksProject: 'p'.repeat(31), jobInput: `s3://b/${'k'.repeat(1000)}` };
    for (const parameters of [keys, { ...eks, helmRepoSecretName: 's'.repeat(512) }]) {
      const place = { ...deployment({ ...long, ...parameters }, 'aws-us-gov'), stackName: 's'.repeat(128) };
      for (const [id, statements] of Object.entries(roleGrants(template, place)))
        expect(JSON.stringify(statements).length, id).toBeLessThan(10_240);
    }
  });

  it('leaves the rest of the EKS job to a role that is there for this job only', () => {
    expect(Object.keys(grantsWith())).not.toContain('FinishRole');
    const eks = { job: 'eks', eksProject: 'demo', jobInput: 's3://locks/demo.json', helmRepoSecretName: 'team/helm' };
    const grants = grantsWith(eks);
    const needs = [
      ecr('PutImage', 'demo-charts/x'),
      { action: 's3:GetObject', resource: 'arn:aws:s3:::locks/demo.json' },
      { action: 's3:PutObject', resource: 'arn:aws:s3:::demo-dkr-img-rep-md-eu-west-1-123456789012/x.json' },
      {
        action: 'secretsmanager:GetSecretValue',
        resource: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:team/helm-AbCdEf',
      },
    ].map((need) => ({ role: 'FinishRole', ...need }));
    expect(lacking(needs, grants)).toEqual([]);
    expect(lacking([{ role: 'FinishRole', ...ecr('PutImage', 'demo2-x') }], grants)).toHaveLength(1);
    expect(unused(needs, grants, ['FinishRole'])).toContain('FinishRole: ResultBucket s3:CreateBucket');
  });
});
