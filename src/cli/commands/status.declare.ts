import { join } from 'node:path';
import { Option } from 'commander';
import { imageStates } from '../../status/states.ts';
import type { CommandLine, CommonOptions } from '../command-line.ts';
import type { StatusOptions } from './status.ts';

/** Declares `status`. */
export function declareStatus({ job, start }: CommandLine): void {
  job(
    'status',
    'show the status of each image that `ecr` or `mirror` has replicated',
    'npx image-replication status --store sqlite:out/status.db --state failed',
  )
    .option(
      '--store <place>',
      "where the status is kept: sqlite:FILE, a mirror's database among them, or dynamodb:TABLE (default: sqlite:OUT/status.db)",
    )
    .addOption(new Option('--state <state...>', 'only images of these states').choices(imageStates))
    .option('--region <region>', 'AWS region of the table (default: AWS_REGION)')
    .action(async (options: CommonOptions & StatusOptions) => {
      const { runStatus } = await import('./status.ts');
      // The record of the run that the status is about stays.
      const out = join(options.out, 'status');
      await start('status', { ...options, out }, (session) => runStatus(session, options));
    });
}
