import { Option } from 'commander';
import type { CommandLine } from '../command-line.ts';
import type { EcrOptions } from '../ecr/settings.ts';
import { defaultTries } from '../fleet/options.ts';

/** The options of `ecr`, which are the parameters of the data replication hub's ECR plugin in this program's words. */
export function declareEcr({ job, start }: CommandLine): void {
  const command = job(
    'ecr',
    'bring an ECR registry up to date with another one (account, region, partition), or with listed images',
    'npx image-replication ecr --src-region eu-west-1 --dest-account 123456789012 --dest-credential drh-credentials --dest-region cn-northwest-1',
  );
  const usual = (name: string, description: string, value: number): void => {
    const option = command.options.find(({ long }) => long === name);
    if (option === undefined) return;
    option.description = description;
    option.default(value);
    // A command takes over its options' defaults when they are added, and not later ones.
    command.setOptionValueWithSource(option.attributeName(), value, 'default');
  };
  usual('--concurrency', 'blobs moved at the same time', 10);
  usual('--tries', 'how often an image is tried', defaultTries);
  command
    .addOption(new Option('--source-type <type>', 'Amazon_ECR, Public or Private').default('Amazon_ECR'))
    .option('--src-region <region>', 'region of the source registry (Amazon_ECR only, required there)')
    .option('--src-account <id>', 'account of the source registry (default: the current one)')
    .addOption(new Option('--src-list <what>', 'ALL or SELECTED images').default('ALL'))
    .option(
      '--src-image-list <list>',
      'images for SELECTED: repository:tag,repository,repository:ALL_TAGS,repository@digest (without tag: latest)',
    )
    .option('--src-image-parameter <name>', 'SSM parameter that holds this list')
    .option(
      '--src-credential <name>',
      'SSM SecureString {"access_key_id", "secret_access_key"} for the source (default for another account: drh-credentials)',
    )
    .option('--src-role <arn>', 'role to assume for the source')
    .option('--dest-region <region>', 'region of the destination registry')
    .option('--dest-account <id>', 'account of the destination registry (default: the current one)')
    .option(
      '--dest-credential <name>',
      'SSM SecureString for the destination (default for another account: drh-credentials)',
    )
    .option('--dest-role <arn>', 'role to assume for the destination')
    .option('--dest-prefix <prefix>', 'what repositories at the destination begin with (default: nothing)')
    .option('--target <target>', 'instead of --dest-region: another registry, host[:port][/prefix], or oci-layout:DIR')
    .addOption(
      new Option(
        '--once',
        'hand every image to the copier, and have the destination prove that all of it is there',
      ).conflicts('incremental'),
    )
    .option('--incremental', 'compare both registries and copy what is new or moved (the default)')
    .option('--prune', 'delete at the destination what was deleted at the source, after showing it and asking')
    .option('--with-settings', "carry the repositories' settings along: immutability, scanning, lifecycle policy, tags")
    .option('--platforms <list>', 'platforms to copy, such as linux/amd64,linux/arm64 (default: all)')
    .option(
      '--status-store <place>',
      'where the status of each image is kept: sqlite:FILE or dynamodb:TABLE (default: sqlite:OUT/status.db)',
    )
    .option('--create-table', 'create the DynamoDB table when there is none')
    .option('--alarm-email <address>', 'who gets a message when something failed; the subscription must be confirmed')
    .option('--alarm-topic <arn>', 'SNS topic that gets a message when something failed')
    .option('--lock <file>', 'replicate exactly what this lock says, by digest, instead of comparing or a list')
    .option('--write-lock', 'leave replication.lock.json: every image that was chosen, by digest')
    .option('--plan', 'say what would be copied, with bytes and requests; copy nothing')
    .action(async (options: EcrOptions) => {
      const { runEcr } = await import('./ecr.ts');
      await start('ecr', options, (session) => runEcr(session, options));
    });
}
