import { type Command, Option } from 'commander';
import { imageStates } from '../../status/states.ts';
import type { StatusOptions } from './status.ts';

export function declareStatus(command: Command, run: (options: StatusOptions) => Promise<void>): void {
  command
    .option(
      '--store <place>',
      "where the status is kept: sqlite:FILE, a mirror's database among them, or dynamodb:TABLE (default: sqlite:OUT/status.db)",
    )
    .addOption(new Option('--state <state...>', 'only images of these states').choices(imageStates))
    .option('--region <region>', 'AWS region of the table (default: AWS_REGION)')
    .action(run);
}
