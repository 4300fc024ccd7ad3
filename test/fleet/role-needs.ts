import type { RoleNeed } from '../../deploy/aws/testing/role-grants.ts';
import { resolver, type Template } from '../../deploy/aws/testing/resolve.ts';
import { deployment, type FleetWorld } from './world.ts';

/** By the access key that a program signs with: the interpreter's own is moto's. */
const roleOf: Readonly<Record<string, string>> = {
  plan: 'PlanRole',
  worker: 'WorkerRole',
  summary: 'SummaryRole',
  ak: 'StateMachineRole',
};
export const roles = Object.values(roleOf);

/** What each role had to do so far, at AWS and at the registry of the stack's own account. */
export function roleNeeds({ account, registryNeeds }: FleetWorld, template: Template): readonly RoleNeed[] {
  const needs = [...account.front.needs(), ...registryNeeds()].flatMap(([caller, found]) => {
    const role = roleOf[caller];
    return role === undefined ? [] : found.map((need) => ({ ...need, role }));
  });
  const passed = new Set(needs.filter(({ action }) => action === 'ecs:RunTask').map(({ resource }) => resource));
  return [...needs, ...[...passed].flatMap((definition) => passedRoles(template, definition))];
}

/** Who starts a task hands its roles over: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html */
function passedRoles(template: Template, definition: string): readonly RoleNeed[] {
  const resolve = resolver(template, deployment);
  const task = Object.keys(template.Resources).find((id) => resolve({ Ref: id }) === definition) ?? '';
  const properties = template.Resources[task]?.Properties ?? {};
  return ['TaskRoleArn', 'ExecutionRoleArn'].map((name) => ({
    role: 'StateMachineRole',
    action: 'iam:PassRole',
    resource: String(resolve(properties[name])),
  }));
}

/** Grants that the runs here cannot need, each with its reason. */
export const notMet: readonly string[] = [];
