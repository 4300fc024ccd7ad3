import * as z from 'zod';
import { type Need, notGranted, notNeeded } from '../../../test/iam/compare.ts';
import type { Statement } from '../../../test/iam/template.ts';
import { type Deployment, resolver, Template } from './resolve.ts';

/** What each role of the template may do, by the role's logical id. */
export type RoleGrants = Readonly<Record<string, readonly Statement[]>>;

/** Something that a role had to do. */
export interface RoleNeed extends Need {
  /** Logical id, such as `WorkerRole`. */
  readonly role: string;
}

const texts = z.union([z.string().transform((text) => [text]), z.array(z.string())]);
const Policy = z.object({
  Roles: z.array(z.object({ Ref: z.string() })),
  PolicyDocument: z.object({
    Version: z.literal('2012-10-17'),
    Statement: z.array(
      z.strictObject({
        Sid: z.string(),
        Effect: z.literal('Allow'),
        Action: z.unknown(),
        Resource: z.unknown(),
        Condition: z.unknown().optional(),
      }),
    ),
  }),
});

/**
 * Evaluates the policies of a template's roles as they are deployed with certain parameters. Conditions of statements are
 * given as they are; the comparison takes them as met.
 * @throws Error when the template uses something that is not understood
 */
export function roleGrants(template: unknown, deployment: Deployment): RoleGrants {
  const parsed = Template.parse(template);
  const resolve = resolver(parsed, deployment);
  const there = Object.entries(parsed.Resources).filter(
    ([, { Condition }]) => Condition === undefined || resolve({ Condition }) === true,
  );
  const roles = there.filter(([, { Type }]) => Type === 'AWS::IAM::Role').map(([id]) => id);
  const statements = there
    .filter(([, { Type }]) => Type === 'AWS::IAM::Policy')
    .flatMap(([resource, { Properties }]) => {
      const policy = Policy.parse(Properties);
      return policy.PolicyDocument.Statement.map(({ Sid, Action, Resource, Condition }) => ({
        roles: policy.Roles.map(({ Ref }) => Ref),
        resource,
        sid: Sid,
        actions: texts.parse(resolve(Action)),
        resources: texts.parse(resolve(Resource)),
        condition: resolve(Condition),
      }));
    });
  return Object.fromEntries(roles.map((id) => [id, statements.filter((each) => each.roles.includes(id))]));
}

/** What a role had to do and may not, as `role: action on resource`. */
export function lacking(needs: readonly RoleNeed[], grants: RoleGrants): readonly string[] {
  const roles = [...new Set(needs.map(({ role }) => role))].sort();
  return roles.flatMap((role) =>
    notGranted(
      needs.filter((need) => need.role === role),
      grants[role] ?? [],
    ).map((missing) => `${role}: ${missing}`),
  );
}

/** What these roles may do and did not, as `role: Sid action`. */
export function unused(needs: readonly RoleNeed[], grants: RoleGrants, roles: readonly string[]): readonly string[] {
  return roles.flatMap((role) =>
    notNeeded(
      needs.filter((need) => need.role === role),
      grants[role] ?? [],
    ).map((unneeded) => `${role}: ${unneeded}`),
  );
}
