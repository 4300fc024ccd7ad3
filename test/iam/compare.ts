import { wildcard } from '../../src/testing/ecr-iam.ts';
import type { Statement } from './template.ts';

/** One permission that a run needed: an IAM action on a resource's ARN (`*` where the action takes none). */
export interface Need {
  readonly action: string;
  readonly resource: string;
}

/** Whether a statement grants it. Conditions are taken as met: the tests list statements that have any. */
function grants(statement: Statement, { action, resource }: Need): boolean {
  return (
    statement.actions.some((pattern) => wildcard(pattern.toLowerCase(), action.toLowerCase())) &&
    statement.resources.some((pattern) => wildcard(pattern, resource))
  );
}

/** Needs that no statement grants, each once, sorted. */
export function notGranted(needs: readonly Need[], statements: readonly Statement[]): readonly string[] {
  const missing = needs.filter((need) => !statements.some((statement) => grants(statement, need)));
  return [...new Set(missing.map(({ action, resource }) => `${action} on ${resource}`))].sort();
}

/** Actions of each statement that nothing needed, as `Sid action`, sorted. */
export function notNeeded(needs: readonly Need[], statements: readonly Statement[]): readonly string[] {
  const unused = statements.flatMap((statement) =>
    statement.actions
      .filter((action) => !needs.some((need) => grants({ ...statement, actions: [action] }, need)))
      .map((action) => `${statement.sid} ${action}`),
  );
  return unused.sort();
}
