import { CfnCondition, Fn, type ICfnConditionExpression, type Stack, Token } from 'aws-cdk-lib';
import type { ParameterName } from './parameters.ts';

// Written as CloudFormation's own functions: what is not known before deployment cannot be computed in TypeScript.

/** Conditions by name, each with what it says. */
export const conditions = [
  'JobIsEcr',
  'JobIsImages',
  'JobIsMirror',
  'JobIsEks',
  'SourceIsEcr',
  'HasSrcRegion',
  'HasSrcAccount',
  'ReadsOwnEcr',
  'ReadsListedEcr',
  'AsksForTags',
  'HasSrcRole',
  'ReadsSrcParameter',
  'HasSrcParameter',
  'HasImageParameter',
  'HasDestRegion',
  'HasDestAccount',
  'HasDestPrefix',
  'WritesOwnEcr',
  'ComparesOwnEcr',
  'LooksIntoOwnEcr',
  'TagsOwnEcr',
  'HasDestRole',
  'ReadsDestParameter',
  'HasDestParameter',
  'HasInput',
  'HasLock',
  'IsScheduled',
  'IsRepeated',
  'HasEmail',
  'HasSecret',
  'HasCredentialKey',
  'HasBoundary',
  'ImageInEcr',
] as const;
export type Condition = (typeof conditions)[number];

type Expression = ICfnConditionExpression;

export function declareConditions(stack: Stack): void {
  const given = (name: ParameterName): Expression => Fn.conditionNot(Fn.conditionEquals(ref(name), ''));
  const is = (name: ParameterName, value: string): Expression => Fn.conditionEquals(ref(name), value);
  const made = new Map(conditions.map((name) => [name, new CfnCondition(stack, name)]));
  const also = (name: Condition): Expression => {
    const condition = made.get(name);
    if (condition === undefined) throw new Error(`there is no condition ${name}`);
    return condition;
  };
  const not = (expression: Expression): Expression => Fn.conditionNot(expression);
  const and = (...all: readonly Expression[]): Expression => Fn.conditionAnd(...all);
  const or = (...all: readonly Expression[]): Expression => Fn.conditionOr(...all);
  const registry = also('JobIsEcr');
  const all: Readonly<Record<Condition, Expression>> = {
    JobIsEcr: is('job', 'ecr'),
    JobIsImages: is('job', 'images'),
    JobIsMirror: is('job', 'mirror'),
    JobIsEks: is('job', 'eks'),
    SourceIsEcr: and(registry, is('sourceType', 'Amazon_ECR')),
    HasSrcRegion: given('srcRegion'),
    HasSrcAccount: given('srcAccountId'),
    HasSrcRole: and(also('SourceIsEcr'), given('srcRole')),
    HasSrcParameter: given('srcCredential'),
    // The account's own role reads the source: no other credentials are named for it.
    ReadsOwnEcr: and(also('SourceIsEcr'), not(given('srcRole')), not(given('srcCredential'))),
    // Lists may name repositories in any private ECR that lets this account in.
    ReadsListedEcr: not(also('SourceIsEcr')),
    // ALL_TAGS, and the ranges and patterns of a mirror file.
    AsksForTags: and(also('ReadsListedEcr'), or(registry, also('JobIsMirror'))),
    // drh-credentials are tried for another account's registry when nothing else is named.
    ReadsSrcParameter: and(
      registry,
      not(is('sourceType', 'Public')),
      not(given('srcRole')),
      or(given('srcCredential'), and(also('SourceIsEcr'), given('srcAccountId'))),
    ),
    HasImageParameter: and(registry, is('srcList', 'SELECTED'), given('srcImageParameter')),
    HasDestRegion: given('destRegion'),
    HasDestAccount: given('destAccountId'),
    HasDestPrefix: given('destPrefix'),
    HasDestRole: and(registry, given('destRole')),
    HasDestParameter: given('destCredential'),
    WritesOwnEcr: or(not(registry), and(not(given('destRole')), not(given('destCredential')))),
    ComparesOwnEcr: and(also('SourceIsEcr'), also('WritesOwnEcr')),
    LooksIntoOwnEcr: and(also('ReadsListedEcr'), also('WritesOwnEcr')),
    TagsOwnEcr: and(also('WritesOwnEcr'), or(registry, also('JobIsEks'))),
    ReadsDestParameter: and(registry, not(given('destRole')), or(given('destCredential'), given('destAccountId'))),
    HasInput: and(not(registry), given('jobInput')),
    HasLock: and(also('JobIsEks'), given('jobInput')),
    IsScheduled: not(is('schedule', 'once')),
    IsRepeated: and(also('IsScheduled'), not(Fn.conditionEquals(Fn.select(0, Fn.split('(', ref('schedule'))), 'at'))),
    HasEmail: given('alarmEmail'),
    HasSecret: and(also('JobIsEks'), given('helmRepoSecretName')),
    HasCredentialKey: and(or(also('ReadsSrcParameter'), also('ReadsDestParameter')), given('credentialKey')),
    HasBoundary: given('permissionsBoundary'),
    ImageInEcr: not(Fn.conditionEquals(afterEcr(), '-')),
  };
  for (const [name, condition] of made) condition.expression = all[name];
}

/** A parameter's value. */
export function ref(name: ParameterName): string {
  return Fn.ref(name);
}

/** A parameter of type Number where a construct wants a number. */
export function number(name: ParameterName): number {
  return Token.asNumber(Fn.ref(name));
}

/** One of two texts. */
export function either(condition: Condition, text: string, otherwise: string): string {
  return Token.asString(Fn.conditionIf(condition, text, otherwise));
}

export const noValue = Fn.ref('AWS::NoValue');

/** An ARN of the stack's own partition, `${Name}` for parameters, resources and pseudo parameters. */
export function arn(rest: string, variables?: Readonly<Record<string, string>>): string {
  return Fn.sub(`arn:\${AWS::Partition}:${rest}`, variables);
}

export const source = {
  region: () => either('HasSrcRegion', ref('srcRegion'), Fn.ref('AWS::Region')),
  account: () => either('HasSrcAccount', ref('srcAccountId'), Fn.ref('AWS::AccountId')),
};

export const destination = {
  region: () => either('HasDestRegion', ref('destRegion'), Fn.ref('AWS::Region')),
  account: () => either('HasDestAccount', ref('destAccountId'), Fn.ref('AWS::AccountId')),
  /** What names of repositories begin with. */
  prefix: () => either('JobIsEks', Fn.sub('${eksProject}-'), ref('destPrefix')),
};

/** A text with something put in for each of these. */
function replaced(text: string, all: Readonly<Record<string, string>>): string {
  return Object.entries(all).reduce((before, [old, put]) => Fn.join(put, Fn.split(old, before)), text);
}

/**
 * What follows the account in `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG`; `-` in other references. FIPS and dual-stack
 * hosts are the same registry: https://docs.aws.amazon.com/general/latest/gr/ecr.html
 */
function afterEcr(): string {
  const hosts = { '.dkr.ecr-fips.': '.dkr.ecr.', '.dkr-ecr.': '.dkr.ecr.', '.dkr-ecr-fips.': '.dkr.ecr.' };
  return Fn.select(1, Fn.split('.dkr.ecr.', replaced(Fn.sub('${workerImage}.dkr.ecr.-'), hosts)));
}

/** ARN of the repository that the workers' image lies in. Only where {@link Condition} `ImageInEcr` holds. */
export function imageRepositoryArn(): string {
  const suffixes = {
    '.com.cn/': '.com/',
    '.on.aws/': '.amazonaws.com/',
    '.on.amazonwebservices.com/': '.amazonaws.com/',
  };
  const path = Fn.select(1, Fn.split('.amazonaws.com/', replaced(afterEcr(), suffixes)));
  return arn('ecr:${Region}:${Account}:repository/${Name}', {
    Region: Fn.select(0, Fn.split('.', afterEcr())),
    Account: Fn.select(0, Fn.split('.', ref('workerImage'))),
    Name: Fn.select(0, Fn.split(':', Fn.select(0, Fn.split('@', path)))),
  });
}

/** ARN of a parameter. Names that are paths begin with a slash, of which their ARNs have only one: `parameter/a/b`. */
export function parameterArn(name: string): string {
  return Fn.join(
    'parameter/',
    Fn.split('parameter//', arn('ssm:${AWS::Region}:${AWS::AccountId}:parameter/${Name}', { Name: name })),
  );
}

/** ARN of the object that `jobInput` names. */
export function inputArn(): string {
  return arn('s3:::${Name}', { Name: Fn.select(1, Fn.split('s3://', ref('jobInput'))) });
}
