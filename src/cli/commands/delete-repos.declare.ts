import { type CommandLine, type CommonOptions } from '../command-line.ts';

/** Declares `delete-repos`. */
export function declareDeleteRepos({ job, start }: CommandLine): void {
  job(
    'delete-repos',
    "delete a project's ECR repositories, after showing them",
    'npx image-replication delete-repos demo',
  )
    .argument('<project>', "project whose repositories go: those that carry its owners' tags")
    .option('--include-untagged', 'also repositories under <project>- that carry no tag of any owner')
    .option('--region <region>', 'AWS region (default: AWS_REGION)')
    .action(
      async (
        project: string,
        options: CommonOptions & { includeUntagged?: boolean; yes?: boolean; region?: string },
      ) => {
        const { runDeleteRepos } = await import('./delete-repos.ts');
        await start('delete-repos', options, (session) => runDeleteRepos(session, { ...options, project }));
      },
    );
}
