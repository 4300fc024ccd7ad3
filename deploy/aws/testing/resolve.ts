import * as z from 'zod';

/** Where and with what a template is looked at. */
export interface Deployment {
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  /** Default: `replication`. */
  readonly stackName?: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** What `Ref` (and `Fn::GetAtt`, as `Name.Attribute`) of resources gives, where it is known; else names are made up. */
  readonly physical?: Readonly<Record<string, string>>;
  /** What `Fn::ValueOfAll` gives, by type and attribute: `AWS::EC2::Subnet::Id VpcId`. */
  readonly attributes?: Readonly<Record<string, readonly string[]>>;
}

const Parameter = z.looseObject({ Default: z.union([z.string(), z.number()]).optional() });
const Resource = z.looseObject({
  Type: z.string(),
  Condition: z.string().optional(),
  Properties: z.record(z.string(), z.unknown()).default({}),
});
const Rule = z.strictObject({
  RuleCondition: z.unknown().optional(),
  Assertions: z.array(z.strictObject({ Assert: z.unknown(), AssertDescription: z.string() })),
});
export const Template = z.looseObject({
  Parameters: z.record(z.string(), Parameter),
  Mappings: z.record(z.string(), z.record(z.string(), z.record(z.string(), z.unknown()))).default({}),
  Conditions: z.record(z.string(), z.unknown()).default({}),
  Rules: z.record(z.string(), Rule).default({}),
  Resources: z.record(z.string(), Resource),
});
export type Template = z.infer<typeof Template>;

/**
 * Resolves CloudFormation's intrinsic functions, as far as templates here use them.
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
 * @returns a function that gives a value with its functions replaced; `undefined` for AWS::NoValue
 * @throws Error when something is not understood, or a parameter has no value
 */
export function resolver(template: Template, deployment: Deployment): (value: unknown) => unknown {
  const names = naming(template, deployment);
  const list = (value: unknown): readonly unknown[] => z.array(z.unknown()).parse(resolve(value));
  const text = (value: unknown): string => z.coerce.string().parse(resolve(value));
  const functions: Readonly<Record<string, (argument: unknown) => unknown>> = {
    Ref: (name) => names(z.string().parse(name)),
    Condition: (name) => resolve(template.Conditions[z.string().parse(name)]),
    'Fn::GetAtt': (path) => names(z.array(z.string()).parse(path).join('.')),
    'Fn::Sub': (argument) => {
      const [pattern, own] = z
        .tuple([z.string(), z.record(z.string(), z.unknown())])
        .parse(typeof argument === 'string' ? [argument, {}] : argument);
      return pattern.replace(/\$\{([^}]+)\}/g, (_, name: string) =>
        name in own ? text(own[name]) : text({ Ref: name }),
      );
    },
    'Fn::If': (argument) => {
      const [name, yes, no] = z.tuple([z.string(), z.unknown(), z.unknown()]).parse(argument);
      return resolve(resolve({ Condition: name }) === true ? yes : no);
    },
    'Fn::Join': (argument) => {
      const [between, parts] = z.tuple([z.string(), z.unknown()]).parse(argument);
      return list(parts).map(text).join(between);
    },
    'Fn::Split': (argument) => {
      const [between, whole] = z.tuple([z.string(), z.unknown()]).parse(argument);
      return text(whole).split(between);
    },
    'Fn::Select': (argument) => {
      const [index, parts] = z.tuple([z.unknown(), z.unknown()]).parse(argument);
      const found = list(parts)[Number(text(index))];
      if (found === undefined) throw new Error(`Fn::Select cannot select a value at index ${text(index)}`);
      return found;
    },
    'Fn::FindInMap': (argument) => {
      const [map, first, second] = z.tuple([z.string(), z.unknown(), z.unknown()]).parse(argument);
      return template.Mappings[map]?.[text(first)]?.[text(second)];
    },
    'Fn::Equals': (pair) => {
      const [left, right] = list(pair);
      return left === right;
    },
    'Fn::Contains': (argument) => {
      const [all, one] = list(argument);
      return list(all).includes(one);
    },
    'Fn::EachMemberEquals': (argument) => {
      const [all, one] = list(argument);
      return list(all).every((each) => each === one);
    },
    'Fn::ValueOfAll': (path) => deployment.attributes?.[z.array(z.string()).parse(path).join(' ')] ?? [],
    'Fn::Not': (argument) => list(argument)[0] !== true,
    'Fn::And': (argument) => list(argument).every((each) => each === true),
    'Fn::Or': (argument) => list(argument).some((each) => each === true),
  };
  const resolve = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(resolve).filter((each) => each !== undefined);
    if (typeof value !== 'object' || value === null) return value;
    const entries: readonly (readonly [string, unknown])[] = Object.entries(value);
    const [name, argument] = entries[0] ?? ['', undefined];
    const apply = entries.length === 1 ? functions[name] : undefined;
    // A statement's own `Condition` holds an object, CloudFormation's the name of one.
    if (apply !== undefined && (name !== 'Condition' || typeof argument === 'string')) return apply(argument);
    if (name.startsWith('Fn::')) throw new Error(`${name} is not understood`);
    return Object.fromEntries(
      entries.map(([key, inner]) => [key, resolve(inner)]).filter(([, inner]) => inner !== undefined),
    );
  };
  return resolve;
}

/** What CloudFormation says of parameters that the template's rules refuse, before it makes anything. */
export function refusals(template: Template, deployment: Deployment): readonly string[] {
  const resolve = resolver(template, deployment);
  return Object.values(template.Rules)
    .filter(({ RuleCondition }) => RuleCondition === undefined || resolve(RuleCondition) === true)
    .flatMap(({ Assertions }) => Assertions.filter(({ Assert }) => resolve(Assert) !== true))
    .map(({ AssertDescription }) => AssertDescription);
}

/** Values of parameters, pseudo parameters, and resources' names and ARNs. */
function naming(template: Template, deployment: Deployment): (name: string) => string | undefined {
  const { partition, region, account, stackName = 'replication', parameters, physical = {} } = deployment;
  const place = `${region}:${account}`;
  const pseudo: Readonly<Record<string, string | undefined>> = {
    'AWS::Partition': partition,
    'AWS::Region': region,
    'AWS::AccountId': account,
    'AWS::StackName': stackName,
    'AWS::StackId': `arn:${partition}:cloudformation:${place}:stack/${stackName}/0`,
    'AWS::URLSuffix': partition === 'aws-cn' ? 'amazonaws.com.cn' : 'amazonaws.com',
    'AWS::NoValue': undefined,
  };
  const arns: Readonly<Record<string, (id: string) => string>> = {
    'AWS::IAM::Role': (id) => `arn:${partition}:iam::${account}:role/${stackName}-${id}`,
    'AWS::DynamoDB::Table': (id) => `arn:${partition}:dynamodb:${place}:table/${stackName}-${id}`,
    'AWS::KMS::Key': (id) => `arn:${partition}:kms:${place}:key/${stackName}-${id}`,
    'AWS::Logs::LogGroup': (id) => `arn:${partition}:logs:${place}:log-group:${stackName}-${id}:*`,
    'AWS::Lambda::Function': (id) => `arn:${partition}:lambda:${place}:function:${stackName}-${id}`,
    'AWS::StepFunctions::StateMachine': (id) => `arn:${partition}:states:${place}:stateMachine:${stackName}-${id}`,
    'AWS::SNS::Topic': (id) => `arn:${partition}:sns:${place}:${stackName}-${id}`,
    'AWS::ECS::TaskDefinition': (id) => `arn:${partition}:ecs:${place}:task-definition/${stackName}-${id}:1`,
  };
  // Whose Ref is an ARN: the others' is a name.
  const byArn = ['AWS::StepFunctions::StateMachine', 'AWS::SNS::Topic', 'AWS::ECS::TaskDefinition'];
  return (name) => {
    if (name in pseudo) return pseudo[name];
    if (physical[name] !== undefined) return physical[name];
    if (name in template.Parameters) {
      const value = parameters[name] ?? template.Parameters[name]?.Default;
      if (value === undefined) throw new Error(`${name} has no value`);
      return String(value);
    }
    const [id = '', attribute] = name.split('.');
    const type = template.Resources[id]?.Type;
    if (type === undefined) throw new Error(`there is no ${id}`);
    const full = arns[type]?.(id);
    if (attribute === 'Arn' || (attribute === undefined && byArn.includes(type))) return full ?? `${stackName}-${id}`;
    return type === 'AWS::S3::Bucket' ? `${stackName}-${id}`.toLowerCase() : `${stackName}-${id}`;
  };
}
