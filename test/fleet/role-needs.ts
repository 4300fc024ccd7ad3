import type { RoleNeed } from '../../deploy/aws/testing/role-grants.ts';
import { resolver, type Template } from '../../deploy/aws/testing/resolve.ts';
import { deployment, type FleetWorld } from './world.ts';

/** By the access key that a program signs with: the interpreter's own is moto's. */
const roleOf: Readonly<Record<string, string>> = {
  plan: 'PlanRole',
  worker: 'WorkerRole',
  summary: 'SummaryRole',
  finish: 'FinishRole',
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
export const notMet: readonly string[] = [
  // Asked of the registry that is written to, which is another account's here, by that account's keys.
  'PlanRole: Registry ecr:GetAccountSetting',
  // No plan and no summary fails here; workers do.
  'PlanRole: TaskToken states:SendTaskFailure',
  'WorkerRole: Registry ecr:GetAccountSetting',
  'SummaryRole: TaskToken states:SendTaskFailure',
  // Children of a Distributed Map are executions at AWS, and stopped with their parent; in moto they are threads:
  // https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
  'StateMachineRole: Executions states:StopExecution',
  // The topic is encrypted with a key of the stack's; moto encrypts nothing.
  'StateMachineRole: MailKey kms:Decrypt',
  'StateMachineRole: MailKey kms:GenerateDataKey',
  // Step Functions' own redrive, which moto does not know.
  'StateMachineRole: Redrive states:RedriveExecution',
  'StateMachineRole: Shards states:StartExecution',
];
