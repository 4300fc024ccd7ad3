import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { checkPrefix } from '../../src/sources/ecr/target-repository.ts';
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

  /** Of each parameter: values that it takes, and values that it does not. */
  const named = [
    ['', 'drh-credentials', '/a/b'],
    ['a b', 'a"'],
  ] as const;
  const region = [
    ['', 'eu-west-1', 'us-gov-west-1', 'cn-northwest-1', 'ap-southeast-3'],
    ['Europe', 'eu-west-1 ', 'eu-west', 'eu-west-1a'],
  ] as const;
  const accountId = [
    ['', '123456789012'],
    ['1234', '1234567890123', '12345678901a'],
  ] as const;
  const role = [
    ['', 'arn:aws-cn:iam::123456789012:role/a/b'],
    ['b', 'arn:aws:iam::123456789012:user/b', 'arn:aws:iam::1234:role/b'],
  ] as const;
  const name = [
    ['', 'core-images', 'a.b_c'],
    ['a b', 'a/b', 'a'.repeat(129)],
  ] as const;
  const prefixes = [
    ['', 'mirror', 'mirror/', 'acme-', 'a.', 'a--b', 'a__b', 'team/a_b.c-d', '0/1', 'a'.repeat(201)],
    ['Mirror', '/a', 'a b', '-a', 'a..b', 'a._b', 'a___b', 'a//b', 'a/-b', 'a/.', 'a'.repeat(202)],
  ] as const;
  const secret = [
    ['', 'team/helm', 'a@b'],
    ['a b', 'a'.repeat(513)],
  ] as const;
  const taken: Readonly<Record<string, readonly [readonly string[], readonly string[]]>> = {
    job: [
      ['ecr', 'images', 'mirror', 'eks'],
      ['', 'chart'],
    ],
    sourceType: [
      ['Amazon_ECR', 'Public', 'Private'],
      ['', 'amazon_ecr', 'GitHub'],
    ],
    srcRegion: region,
    srcAccountId: accountId,
    srcList: [
      ['ALL', 'SELECTED'],
      ['', 'all'],
    ],
    srcImageList: [
      ['', 'ubuntu:latest,quay.io/a/b@sha256:00, c:ALL_TAGS'],
      ['a"b', 'a\\b', 'a\nb', '${x}', 'a'.repeat(4097)],
    ],
    srcImageParameter: named,
    srcCredential: named,
    srcRole: role,
    jobInput: [
      ['', 's3://bucket/a/list.txt'],
      ['list.txt', 's3://bucket', 's3://bucket/a b', 's3://B/a'],
    ],
    platforms: [
      ['', 'linux/amd64,linux/arm64', 'linux/arm/v7'],
      ['Linux/amd64', 'a;b'],
    ],
    destRegion: region,
    destAccountId: accountId,
    destPrefix: prefixes,
    destCredential: named,
    destRole: role,
    ecsClusterName: [
      ['fleet', 'A_b-1'],
      ['', 'arn:aws:ecs:eu-west-1:123456789012:cluster/a', 'a'.repeat(256)],
    ],
    assignPublicIp: [
      ['ENABLED', 'DISABLED'],
      ['', 'true'],
    ],
    schedule: [
      ['rate(1 day)', 'rate(12 hours)', 'cron(0 3 ? * MON-FRI *)', 'at(2030-01-01T03:00:00)', 'once'],
      ['', 'daily', 'rate(0 days)', 'rate(1 week)'],
    ],
    scheduleTimezone: [
      ['UTC', 'Europe/Berlin', 'Etc/GMT+3'],
      ['', 'Europe Berlin'],
    ],
    alarmEmail: [
      ['', 'a.b+c@example.com'],
      ['me', 'a@b@c', 'a b@c'],
    ],
    alarmAfterHours: [
      ['1', '48', '168'],
      ['0', '169'],
    ],
    workerImage: [
      [required.workerImage, 'ghcr.io/a/b@sha256:00'],
      ['', 'a b', '"'],
    ],
    workerArchitecture: [
      ['X86_64', 'ARM64'],
      ['', 'amd64'],
    ],
    workerCpu: [
      ['256', '1024', '16384'],
      ['0', '1000'],
    ],
    workerMemory: [
      ['512', '2048', '122880'],
      ['511', '122881'],
    ],
    workerDisk: [
      ['21', '50', '200'],
      ['20', '201'],
    ],
    maxConcurrency: [
      ['1', '10', '1000'],
      ['0', '1001'],
    ],
    tries: [
      ['1', '3', '5'],
      ['0', '6'],
    ],
    eksProject: [
      ['', 'demo', 'a.b-c'],
      ['Demo', '-a', 'a'.repeat(32)],
    ],
    eksDeployment: name,
    eksModule: name,
    helmRepoSecretName: secret,
    helmRepoSecretKey: secret,
    credentialKey: [
      ['', 'arn:aws:kms:eu-west-1:123456789012:key/0f1e-2d'],
      ['alias/a', 'arn:aws:kms:eu-west-1:123456789012:alias/a'],
    ],
    permissionsBoundary: [
      ['', 'arn:aws:iam::aws:policy/PowerUserAccess', 'arn:aws-us-gov:iam::123456789012:policy/a/b'],
      ['b', 'arn:aws:iam::123456789012:role/b'],
    ],
    logRetentionDays: [
      ['1', '30', '3653'],
      ['2', '0'],
    ],
    runRetentionDays: [
      ['1', '90', '3650'],
      ['0', '3651'],
    ],
  };
  const Rules = z.looseObject({
    Type: z.string(),
    AllowedValues: z.array(z.string()).optional(),
    AllowedPattern: z.string().optional(),
    ConstraintDescription: z.string().min(1).optional(),
    MaxLength: z.number().optional(),
    MinValue: z.number().optional(),
    MaxValue: z.number().optional(),
  });

  it.each(Object.entries(taken))('%s takes what is right only', (name, [right, wrong]) => {
    const { Type, AllowedValues, AllowedPattern, ConstraintDescription, MaxLength, MinValue, MaxValue } = Rules.parse(
      template.Parameters[name],
    );
    // CloudFormation's patterns have to match the whole value.
    const takes = (value: string): boolean =>
      (AllowedValues?.includes(value) ?? true) &&
      value.length <= (MaxLength ?? Infinity) &&
      (AllowedPattern === undefined || new RegExp(`^(?:${AllowedPattern})$`).test(value)) &&
      (Type !== 'Number' || (Number(value) >= (MinValue ?? -Infinity) && Number(value) <= (MaxValue ?? Infinity)));
    for (const each of right) expect(takes(each), each).toBe(true);
    for (const each of wrong) expect(takes(each), each).toBe(false);
    expect(right).toEqual(expect.arrayContaining([String(template.Parameters[name]?.Default ?? right[0])]));
    // What the console says instead of the pattern.
    if (AllowedPattern !== undefined) expect(ConstraintDescription).toBeDefined();
  });

  it('take the prefixes that the program takes', () => {
    const [right, wrong] = prefixes;
    for (const each of right) expect(() => each === '' || checkPrefix(each), each).not.toThrow();
    for (const each of wrong) if (each.length < 202) expect(() => checkPrefix(each), each).toThrow('is no prefix');
  });

  it('have each a rule for their values, or a type whose things CloudFormation looks for', () => {
    const typed = Object.entries(template.Parameters).filter(([, { Type }]) => String(Type).startsWith('AWS::'));
    expect(typed.map(([name, { Type }]) => [name, Type])).toEqual([
      ['ecsVpcId', 'AWS::EC2::VPC::Id'],
      ['ecsSubnetA', 'AWS::EC2::Subnet::Id'],
      ['ecsSubnetB', 'AWS::EC2::Subnet::Id'],
    ]);
    const others = Object.keys(template.Parameters).filter((name) => !typed.some(([each]) => each === name));
    expect(Object.keys(taken).sort()).toEqual(others.sort());
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
