import { repositories } from '../../aws/repositories.ts';
import { accountId } from '../../aws/identity.ts';
import { objectStore } from '../../aws/s3.ts';
import { bucketName, validateProject } from '../../publish/names.ts';
import { destroyDeployment, parseRetentionType } from '../../retention/destroy.ts';
import { openAws } from '../aws-session.ts';
import { type EksArguments, ownershipSettings } from '../eks-settings.ts';
import { parameter } from '../environment.ts';
import type { JobResult, Session } from '../session.ts';

/** Takes away what a deployment replicated, as RetentionType says. */
export async function runDestroy(session: Session, command: EksArguments): Promise<JobResult> {
  const { project, deployment, module, region, accountId: given } = ownershipSettings(command, session.env);
  const type = parseRetentionType(parameter(session.env, 'RETENTION_TYPE'));
  const { signal } = session;
  validateProject(project, region);
  const aws = openAws(session, region);
  const print = (message: string): void => session.reporter.emit({ type: 'notice', level: 'info', message });
  try {
    // Keeping everything needs no account and no permission.
    const account = type === 'RETAIN' ? (given ?? '') : await accountId(aws, given, signal);
    await destroyDeployment({
      repositories: repositories(() => aws.ecr(), undefined),
      s3: objectStore(aws, account),
      bucket: bucketName(project, region, account),
      project,
      deployment,
      module,
      retentionType: type,
      print,
      signal,
    });
    return { failures: [], totals: undefined };
  } finally {
    await aws.close();
  }
}
