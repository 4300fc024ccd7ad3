import { Fn, type Stack } from 'aws-cdk-lib';
import { CfnPolicy, CfnRole } from 'aws-cdk-lib/aws-iam';
import { explain } from './explanations.ts';
import { type Condition, either, noValue, ref } from './expressions.ts';

/** A statement that allows something. */
export interface Grant {
  readonly Sid: string;
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Why there is a wildcard among the resources; it has to be said where there is one. */
  readonly wildcard?: string;
}

/**
 * A role that one service may assume, on behalf of this account only: who can make the service of another account act
 * gets nowhere. https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
 * Lambda's documentation knows no such condition, and takes roles of the function's own account only.
 */
export function role(stack: Stack, id: string, service: string, description: string): CfnRole {
  const own = { StringEquals: { 'aws:SourceAccount': Fn.ref('AWS::AccountId') } };
  return new CfnRole(stack, id, {
    description,
    assumeRolePolicyDocument: {
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Allow',
          Principal: { Service: service },
          Action: 'sts:AssumeRole',
          ...(service === 'lambda.amazonaws.com' ? {} : { Condition: own }),
        },
      ],
    },
    permissionsBoundary: either('HasBoundary', ref('permissionsBoundary'), noValue),
  });
}

/**
 * A policy of its own for each set of grants that depends on a parameter: nothing is granted for what is not used.
 * @throws Error for a wildcard without a reason
 */
export function policy(
  stack: Stack,
  id: string,
  roles: readonly CfnRole[],
  grants: readonly Grant[],
  condition?: Condition,
): CfnPolicy {
  const made = new CfnPolicy(stack, id, {
    policyName: id,
    roles: roles.map((each) => each.ref),
    policyDocument: {
      Version: '2012-10-17',
      Statement: grants.map(({ Sid, Action, Resource, Condition }) => ({
        Sid,
        Effect: 'Allow',
        Action,
        Resource,
        ...(Condition === undefined ? {} : { Condition }),
      })),
    },
  });
  if (condition !== undefined) made.addOverride('Condition', condition);
  for (const { Sid, Resource, wildcard } of grants)
    if (wildcard === undefined && /[*?]/.test(JSON.stringify(stack.resolve(Resource))))
      throw new Error(`${id}: ${Sid} has a wildcard and does not say why`);
  const reasons = grants.flatMap(({ Sid, wildcard }) => (wildcard === undefined ? [] : [`${Sid}: ${wildcard}.`]));
  if (reasons.length > 0) explain(made, 'AwsSolutions-IAM5', reasons.join(' '));
  return made;
}
