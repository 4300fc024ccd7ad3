import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { deployment, required, template } from './testing/deployed.ts';
import { refusals } from './testing/resolve.ts';

describe('parameters', () => {
  it("have the names and defaults of the ECR plugin's document", () => {
    // Its table "Available Parameters"; `undefined`: requires input.
    const documented = {
      sourceType: 'Amazon_ECR',
      srcRegion: '',
      srcAccountId: '',
      srcList: 'ALL',
      srcImageList: '',
      srcCredential: '',
      destRegion: '',
      destAccountId: '',
      destPrefix: '',
      destCredential: '',
      ecsClusterName: undefined,
      ecsVpcId: undefined,
      ecsSubnetA: undefined,
      ecsSubnetB: undefined,
      alarmEmail: '',
    };
    for (const [name, value] of Object.entries(documented)) {
      expect(template.Parameters, name).toHaveProperty(name);
      expect(template.Parameters[name]?.Default, name).toBe(value);
    }
    const asked = Object.entries(template.Parameters).filter(([, each]) => each.Default === undefined);
    expect(asked.map(([name]) => name)).toEqual([
      'ecsClusterName',
      'ecsVpcId',
      'ecsSubnetA',
      'ecsSubnetB',
      'workerImage',
    ]);
  });

  it('are all declared, described, and in a group of the console', () => {
    const Interface = z.object({
      Metadata: z.object({
        'AWS::CloudFormation::Interface': z.object({
          ParameterGroups: z.array(z.object({ Parameters: z.array(z.string()) })),
          ParameterLabels: z.record(z.string(), z.object({ default: z.string().min(1) })),
        }),
      }),
    });
    const shown = Interface.parse(template).Metadata['AWS::CloudFormation::Interface'];
    const names = Object.keys(template.Parameters);
    expect(shown.ParameterGroups.flatMap((group) => group.Parameters)).toEqual(names);
    expect(Object.keys(shown.ParameterLabels)).toEqual(names);
  });

  it.each([
    [
      'schedule',
      ['rate(1 day)', 'rate(12 hours)', 'cron(0 3 ? * MON-FRI *)', 'at(2030-01-01T03:00:00)', 'once'],
      ['daily', 'rate(0 days)'],
    ],
    ['srcImageList', ['', 'ubuntu:latest,quay.io/a/b@sha256:00, c:ALL_TAGS'], ['a"b', 'a\\b', 'a\nb', '${x}']],
    ['srcRegion', ['', 'eu-west-1', 'us-gov-west-1'], ['Europe', 'eu-west-1 ']],
    ['srcAccountId', ['', '123456789012'], ['1234']],
    ['jobInput', ['', 's3://bucket/a/list.txt'], ['list.txt', 's3://bucket', 's3://bucket/a b']],
    ['alarmEmail', ['', 'a.b+c@example.com'], ['me']],
    ['srcRole', ['', 'arn:aws-cn:iam::123456789012:role/a/b'], ['b', 'arn:aws:iam::123456789012:user/b']],
    ['srcCredential', ['', 'drh-credentials', '/a/b'], ['a b', 'a"']],
    ['workerImage', [required.workerImage, 'ghcr.io/a/b@sha256:00'], ['', 'a b', '"']],
  ])('%s takes what is right only', (name, right, wrong) => {
    const pattern = new RegExp(z.string().parse(template.Parameters[name]?.['AllowedPattern']));
    for (const each of right) expect(pattern.test(each), each).toBe(true);
    for (const each of wrong) expect(pattern.test(each), each).toBe(false);
  });

  describe('that do not go together', () => {
    const vpc = 'AWS::EC2::Subnet::Id VpcId';
    const said = (parameters: Readonly<Record<string, string>>, attributes = { [vpc]: ['vpc-1', 'vpc-1'] }) =>
      refusals(template, { ...deployment(parameters), attributes });
    const elsewhere = { srcRegion: 'us-east-1' };
    const selected = { ...elsewhere, srcList: 'SELECTED' };
    const roleArn = 'arn:aws:iam::123456789012:role/a';

    it.each([
      [{}, 'one registry'],
      [{ srcRegion: 'eu-west-1', destRegion: 'eu-west-1' }, 'one registry'],
      [{ srcList: 'SELECTED', srcImageList: 'a:1' }, 'one registry'],
      [selected, 'needs srcImageList or srcImageParameter'],
      [{ ...selected, srcImageList: 'a:1', srcImageParameter: '/a' }, 'both given'],
      [{ sourceType: 'Public' }, 'need srcList SELECTED'],
      [{ sourceType: 'Private', srcCredential: '/a' }, 'need srcList SELECTED'],
      [{ ...elsewhere, srcCredential: '/a', srcRole: roleArn }, 'srcCredential and srcRole'],
      [{ ...elsewhere, destCredential: '/a', destRole: roleArn }, 'destCredential and destRole'],
      [{ job: 'images' }, 'need jobInput'],
      [{ job: 'eks', jobInput: 's3://bucket/lock' }, 'needs eksProject'],
      [{ job: 'eks', jobInput: 's3://bucket/lock', eksProject: 'a', eksDeployment: 'b' }, 'eksModule'],
      [{ ...elsewhere, workerCpu: '256', workerMemory: '4096' }, '512, 1024 or 2048'],
      [{ ...elsewhere, workerMemory: '16384' }, '2048 to 8192'],
      [{ ...elsewhere, workerCpu: '8192', workerMemory: '17408' }, 'in steps of 4096'],
    ])('are refused: %j', (parameters, message) => {
      expect(said(parameters)).toEqual([expect.stringContaining(message)]);
    });

    it('are refused when a subnet is of another VPC', () => {
      expect(said(elsewhere, { [vpc]: ['vpc-1', 'vpc-2'] })).toEqual([expect.stringContaining('ecsVpcId')]);
    });

    it.each([
      elsewhere,
      { destRegion: 'cn-north-1', destCredential: '/a' },
      { srcAccountId: '210987654321' },
      { destAccountId: '210987654321', destRole: roleArn },
      // The account of the credentials, whichever it is.
      { srcCredential: '/another/account' },
      { srcList: 'SELECTED', srcImageParameter: '/a', destPrefix: 'copies' },
      { ...selected, srcImageList: 'a:1' },
      { sourceType: 'Public', srcList: 'SELECTED', srcImageList: 'nginx:1' },
      { sourceType: 'Private', srcList: 'SELECTED', srcImageList: 'quay.io/a/b:1', srcCredential: '/a' },
      { job: 'images', jobInput: 's3://bucket/list.txt' },
      { job: 'mirror', jobInput: 's3://bucket/config.ini' },
      { job: 'eks', jobInput: 's3://bucket/lock', eksProject: 'a', eksDeployment: 'b', eksModule: 'c' },
      { ...elsewhere, workerCpu: '256' },
      { ...elsewhere, workerCpu: '16384', workerMemory: '122880' },
      { ...elsewhere, workerCpu: '4096', workerMemory: '30720' },
    ])('are no others: %j', (parameters) => {
      expect(said(parameters)).toEqual([]);
    });
  });

  it('cannot break the JSON of the state machine', () => {
    const texts = Object.entries(template.Parameters).filter(([, each]) => each['Type'] === 'String');
    for (const [name, each] of texts) {
      if (each['AllowedValues'] !== undefined) continue;
      const pattern = new RegExp(z.string().parse(each['AllowedPattern'], { reportInput: true }));
      for (const bad of ['"', '\\', '\n', 'a"@b', 'a\\@b', 'a\n@b'])
        expect(pattern.test(bad), `${name} ${JSON.stringify(bad)}`).toBe(false);
    }
  });
});
