import type { CfnResource } from 'aws-cdk-lib';
import { NagSuppressions } from 'cdk-nag';

/** Says, in the template itself, why a rule of cdk-nag (AwsSolutions) is not followed. */
export function explain(resource: CfnResource, id: string, reason: string): void {
  NagSuppressions.addResourceSuppressions(resource, [{ id, reason }]);
}
