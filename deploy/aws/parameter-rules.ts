import { CfnRule, Fn, type ICfnConditionExpression, type Stack } from 'aws-cdk-lib';
import { ref } from './expressions.ts';
import type { ParameterName } from './parameters.ts';

type Expression = ICfnConditionExpression;

/** Parameters that do not go together, refused before anything is made: else the first run would say so, by mail. */
interface Rule {
  readonly id: string;
  /** Absent: always. */
  readonly when?: Expression;
  /** What has to hold, and what the console says when it does not. */
  readonly holds: readonly (readonly [Expression, string])[];
}

const is = (name: ParameterName, value: string): Expression => Fn.conditionEquals(ref(name), value);
const not = (expression: Expression): Expression => Fn.conditionNot(expression);
const given = (name: ParameterName): Expression => not(is(name, ''));
const and = (...all: readonly Expression[]): Expression => Fn.conditionAnd(...all);
const or = (...all: readonly Expression[]): Expression => Fn.conditionOr(...all);
const notBoth = (one: ParameterName, other: ParameterName): Expression => or(is(one, ''), is(other, ''));

/**
 * Memory in MiB that Fargate takes with so many CPU units: from, to, in steps of.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
 */
const sizes = [
  { cpu: 512, from: 1024, to: 4096, step: 1024 },
  { cpu: 1024, from: 2048, to: 8192, step: 1024 },
  { cpu: 2048, from: 4096, to: 16_384, step: 1024 },
  { cpu: 4096, from: 8192, to: 30_720, step: 1024 },
  { cpu: 8192, from: 16_384, to: 61_440, step: 4096 },
  { cpu: 16_384, from: 32_768, to: 122_880, step: 8192 },
] as const;

/**
 * Rules know parameters only, no conditions and no region of the stack.
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
 */
export function declareRules(stack: Stack): void {
  for (const { id, when, holds } of [...ecrRules(), ...jobRules(), ...placeRules()])
    new CfnRule(stack, id, {
      ...(when === undefined ? {} : { ruleCondition: when }),
      assertions: holds.map(([assert, assertDescription]) => ({ assert, assertDescription })),
    });
}

function ecrRules(): readonly Rule[] {
  const job = is('job', 'ecr');
  const registry = is('sourceType', 'Amazon_ECR');
  const selected = is('srcList', 'SELECTED');
  // Other credentials may be another account's, whatever the account's number says.
  const own = (['srcCredential', 'srcRole', 'destCredential', 'destRole'] as const).map((name) => is(name, ''));
  const same = [Fn.conditionEquals(ref('srcRegion'), ref('destRegion')), sameAccount()];
  return [
    {
      id: 'SelectedImages',
      when: and(job, selected),
      holds: [
        [
          or(given('srcImageList'), given('srcImageParameter')),
          'srcList SELECTED needs srcImageList or srcImageParameter',
        ],
        [notBoth('srcImageList', 'srcImageParameter'), 'srcImageList and srcImageParameter are both given'],
      ],
    },
    {
      id: 'SourceCredentials',
      when: and(job, registry),
      holds: [[notBoth('srcCredential', 'srcRole'), 'srcCredential and srcRole are both given']],
    },
    {
      id: 'DestinationCredentials',
      when: job,
      holds: [[notBoth('destCredential', 'destRole'), 'destCredential and destRole are both given']],
    },
    {
      id: 'OtherRegistries',
      when: and(job, not(registry)),
      holds: [
        [selected, 'sourceType Public and Private need srcList SELECTED: only Amazon ECR can list its repositories'],
      ],
    },
    {
      id: 'TwoRegistries',
      when: and(job, registry, ...own, ...same),
      holds: [
        [
          and(selected, given('destPrefix')),
          'source and destination are one registry: give another region or account, or selected images and destPrefix',
        ],
      ],
    },
  ];
}

function sameAccount(): Expression {
  return Fn.conditionEquals(ref('srcAccountId'), ref('destAccountId'));
}

function jobRules(): readonly Rule[] {
  const module = (['eksProject', 'eksDeployment', 'eksModule'] as const).map(given);
  return [
    {
      id: 'JobInput',
      when: not(is('job', 'ecr')),
      holds: [[given('jobInput'), 'the jobs images, mirror and eks need jobInput']],
    },
    {
      id: 'EksModule',
      when: is('job', 'eks'),
      holds: [[and(...module), 'the job eks needs eksProject, eksDeployment and eksModule']],
    },
  ];
}

function placeRules(): readonly Rule[] {
  const places = Fn.valueOfAll('AWS::EC2::Subnet::Id', 'VpcId');
  const memory = (cpu: string, values: readonly number[]): Expression =>
    or(not(is('workerCpu', cpu)), Fn.conditionContains(values.map(String), ref('workerMemory')));
  return [
    {
      id: 'SubnetsOfVpc',
      holds: [
        [Fn.conditionEachMemberEquals(places, ref('ecsVpcId')), 'ecsSubnetA and ecsSubnetB are not both of ecsVpcId'],
      ],
    },
    {
      id: 'TaskSize',
      holds: [
        [memory('256', [512, 1024, 2048]), 'workerCpu 256 takes a workerMemory of 512, 1024 or 2048'],
        ...sizes.map(
          ({ cpu, from, to, step }) =>
            [
              memory(
                String(cpu),
                Array.from({ length: (to - from) / step + 1 }, (_, at) => from + at * step),
              ),
              `workerCpu ${cpu} takes a workerMemory of ${from} to ${to}, in steps of ${step}`,
            ] as const,
        ),
      ],
    },
  ];
}
