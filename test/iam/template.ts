import { parse, type ScalarTag, type CollectionTag } from 'yaml';
import * as z from 'zod';

/**
 * Resolves the few intrinsic functions that modulestack.yaml and Seed-Farmer's project policy use, so that their policies
 * can be compared with what the module does.
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
 */
export interface StackSettings {
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** One statement of a policy, with its ARNs and conditions as IAM would see them. */
export interface Statement {
  readonly resource: string;
  readonly sid: string;
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly condition: unknown;
}

const texts = z.union([z.string().transform((text) => [text]), z.array(z.string())]);
const StatementShape = z.object({
  Sid: z.string().default(''),
  Effect: z.literal('Allow'),
  Action: texts,
  Resource: texts,
  Condition: z.unknown().optional(),
});
const Template = z.object({
  Parameters: z.record(z.string(), z.object({ Type: z.literal('String'), Default: z.string().optional() })),
  Conditions: z.record(z.string(), z.unknown()).default({}),
  Resources: z.record(
    z.string(),
    z.object({
      Type: z.string(),
      Condition: z.string().optional(),
      Properties: z.object({ PolicyDocument: z.object({ Version: z.literal('2012-10-17'), Statement: z.unknown() }) }),
    }),
  ),
});

/**
 * Statements of all policies in a template whose condition holds.
 * @throws Error when the template uses something that is not understood here, or a parameter has no value
 */
export function statementsOf(text: string, settings: StackSettings): readonly Statement[] {
  const template = Template.parse(parse(text, { customTags: shortForms }));
  const resolve = resolver(template, settings);
  return Object.entries(template.Resources).flatMap(([name, { Condition, Properties }]) => {
    if (Condition !== undefined && resolve({ Condition }) !== true) return [];
    const statements = z.array(StatementShape).parse(resolve(Properties.PolicyDocument.Statement));
    return statements.map((each) => ({
      resource: name,
      sid: each.Sid,
      actions: each.Action,
      resources: each.Resource,
      condition: each.Condition,
    }));
  });
}

const scalar = (name: string, key: string): ScalarTag => ({ tag: `!${name}`, resolve: (value) => ({ [key]: value }) });
const sequence = (name: string, key: string): CollectionTag => ({
  tag: `!${name}`,
  collection: 'seq',
  resolve: (items) => ({ [key]: items.toJSON() as unknown }),
});

/** YAML short forms, read into the long forms. */
const shortForms: (ScalarTag | CollectionTag)[] = [
  scalar('Ref', 'Ref'),
  scalar('Sub', 'Fn::Sub'),
  scalar('Condition', 'Condition'),
  ...['Equals', 'Not', 'Or', 'And'].map((name) => sequence(name, `Fn::${name}`)),
];

function resolver(template: z.infer<typeof Template>, settings: StackSettings): (value: unknown) => unknown {
  const pseudo: Readonly<Record<string, string>> = {
    'AWS::Partition': settings.partition,
    'AWS::Region': settings.region,
    'AWS::AccountId': settings.account,
  };
  const ref = (name: string): string => {
    const value = pseudo[name] ?? settings.parameters[name] ?? template.Parameters[name]?.Default;
    if (value === undefined) throw new Error(`${name} has no value`);
    return value;
  };
  const functions: Readonly<Record<string, (argument: unknown) => unknown>> = {
    Ref: (name) => ref(z.string().parse(name)),
    'Fn::Sub': (text) =>
      z
        .string()
        .parse(text)
        .replace(/\$\{([^}]+)\}/g, (_, name: string) => ref(name)),
    'Fn::Equals': (pair) => {
      const [left, right] = z.array(z.unknown()).length(2).parse(resolve(pair));
      return left === right;
    },
    'Fn::Not': (list) => !z.array(z.boolean()).length(1).parse(resolve(list))[0],
    'Fn::Or': (list) => z.array(z.boolean()).parse(resolve(list)).some(Boolean),
    'Fn::And': (list) => z.array(z.boolean()).parse(resolve(list)).every(Boolean),
  };
  const resolve = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(resolve);
    if (typeof value !== 'object' || value === null) return value;
    const entries: readonly (readonly [string, unknown])[] = Object.entries(value);
    const [first] = entries;
    if (entries.length === 1 && first !== undefined) {
      const [name, argument] = first;
      if (name === 'Condition' && typeof argument === 'string') return resolve(template.Conditions[argument]);
      const apply = functions[name];
      if (apply !== undefined) return apply(argument);
      if (name.startsWith('Fn::')) throw new Error(`${name} is not understood`);
    }
    return Object.fromEntries(entries.map(([name, inner]) => [name, resolve(inner)]));
  };
  return resolve;
}
