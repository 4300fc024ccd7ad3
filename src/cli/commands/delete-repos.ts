import { createInterface } from 'node:readline/promises';
import { repositories } from '../../aws/repositories.ts';
import { ReplicationError } from '../../model/errors.ts';
import { validateProject } from '../../publish/names.ts';
import { deleteRepos } from '../../retention/delete-repos.ts';
import { openAws } from '../aws-session.ts';
import { variable } from '../environment.ts';
import type { JobResult, Session } from '../session.ts';

export interface DeleteReposCommand {
  readonly project: string;
  readonly includeUntagged?: boolean | undefined;
  readonly yes?: boolean | undefined;
  readonly region?: string | undefined;
}

/** Removes a project's repositories by hand, after showing them. */
export async function runDeleteRepos(session: Session, command: DeleteReposCommand): Promise<JobResult> {
  const region = command.region ?? variable(session.env, 'AWS_REGION', 'AWS_DEFAULT_REGION');
  if (region === undefined)
    throw new ReplicationError('configuration', 'the AWS region is missing', {
      remedy: 'set AWS_REGION, or pass --region',
    });
  validateProject(command.project, region);
  const aws = openAws(session, region);
  try {
    await deleteRepos({
      repositories: repositories(() => aws.ecr(), undefined),
      project: command.project,
      includeUntagged: command.includeUntagged === true,
      confirm: (names) => (command.yes === true ? Promise.resolve(true) : ask(names.length)),
      print: (message) => session.reporter.emit({ type: 'notice', level: 'info', message }),
      signal: session.signal,
    });
    return { failures: [], totals: undefined };
  } finally {
    await aws.close();
  }
}

async function ask(count: number): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new ReplicationError('usage', `${count} repositories would be deleted, and there is no terminal to ask at`, {
      remedy: 'pass --yes to delete them without being asked',
    });
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`Delete these ${count} repositories with all their images? Type "yes": `);
    return answer.trim().toLowerCase() === 'yes';
  } finally {
    prompt.close();
  }
}
