import { join } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import metadata from '../../package.json' with { type: 'json' };
import { declareChart } from './commands/chart.declare.ts';
import { declareFleet } from './commands/fleet.declare.ts';
import { declareKubernetesJob } from './commands/kubernetes-job.declare.ts';
import { declareMirror } from './commands/mirror.declare.ts';
import { declareEcr } from './commands/ecr.declare.ts';
import { declareStatus } from './commands/status.declare.ts';
import { withoutEmptyValues } from './fleet/empty-values.ts';
import { declareShards, type ShardArguments, shardedJobs } from './fleet/options.ts';
import type { Environment, runJob } from './run.ts';

interface CommonOptions {
  readonly out: string;
  readonly json?: boolean;
  readonly insecureHost?: readonly string[];
  readonly concurrency?: number;
  readonly maxMinutes?: number;
  readonly report?: string;
}

/**
 * The command line program. Every command is loaded only when it runs: `--help` must not wait for the AWS SDK.
 * @returns exit status: 0 all done, 1 something failed, 2 wrong usage or configuration
 */
export async function main(argv: readonly string[], environment: Environment): Promise<0 | 1 | 2> {
  const token = environment.env['TASK_TOKEN'] ?? '';
  if (token !== '' && environment.task === undefined) {
    const { runAsTask } = await import('./fleet/task.ts');
    return runAsTask(environment, token, (asTask) => main(argv, asTask));
  }
  let status: 0 | 1 | 2 = 0;
  const program = new Command('image-replication')
    .description(
      'Copies Helm charts and container images into private registries, re-points the charts, and publishes the result.',
    )
    .version(metadata.version, '-V, --version', 'print the version')
    .showHelpAfterError('(add --help for the options)')
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => environment.stdout.write(text),
      writeErr: (text) => environment.stderr.write(text),
    })
    .exitOverride();

  const job = (name: string, description: string, example: string): Command => {
    const command = program.command(name).description(description).addHelpText('after', `\nExample:\n  ${example}`);
    return shardedJobs.includes(name) ? declareShards(common(command)) : common(command);
  };

  job(
    'eks',
    'replicate the charts and images that the EKS data files name',
    'npx image-replication eks --eks-version 1.34 --project demo --deployment dev --module replication --plan',
  )
    .option(
      '--eks-version <version>',
      'EKS version, which names the data file (default: SEEDFARMER_PARAMETER_EKS_VERSION)',
    )
    .option(
      '--data-dir <dir>',
      'folder with your own default.yaml and <version>.yaml; each replaces the shipped one as a whole',
    )
    .addOption(ownership('project'))
    .addOption(ownership('deployment'))
    .addOption(ownership('module'))
    .option('--region <region>', 'AWS region (default: AWS_REGION)')
    .option('--platforms <list>', 'platforms to copy, such as linux/amd64,linux/arm64 (default: all)')
    .option('--target <target>', 'oci-layout:DIR or host[/prefix] (default: the private ECR of account and region)')
    .option('--lock <file>', 'replicate exactly what this lock says, by digest, instead of what data files say')
    .option('--plan', 'say what would be done and write the plan, copy nothing')
    .option('--no-render', 'do not render the charts: only declared images are replicated, and nothing is proven')
    .option('--publish', 'write the result to S3 and leave the metadata for Seed-Farmer in metadata.json')
    .action(async (options: CommonOptions & EksOptions) => {
      const { runEks } = await import('./commands/eks.ts');
      status = await start('eks', options, (session) => runEks(session, options));
    });

  job(
    'images',
    'copy a list of images as they are',
    'npx image-replication images --list images.txt --target registry.example.com/mirror',
  )
    .option(
      '--list <file>',
      'file with a line `source-reference [target-reference]` per image, # for comments; - reads standard input',
    )
    .option('--lock <file>', 'copy exactly what this lock says, by digest, instead of a list')
    .option('--write-lock', 'leave replication.lock.json: everything that was copied, by digest')
    .option('--target <target>', 'where lines without target reference go: host[:port][/prefix], or oci-layout:DIR')
    .option('--platforms <list>', 'platforms to copy, such as linux/amd64,linux/arm64 (default: all)')
    .option('--region <region>', 'AWS region for ECR (default: the one in the host name)')
    .option('--verify', 'ask the target for every manifest and blob afterwards')
    .option('--plan', 'say what would be copied, copy nothing')
    .action(async (options: CommonOptions & ImagesOptions, command: Command) => {
      if (options.list === undefined && options.lock === undefined)
        command.error("error: required option '--list <file>' not specified, nor '--lock <file>'");
      const { runImages } = await import('./commands/images.ts');
      status = await start('images', options, (session) => runImages(session, options));
    });

  const ecr = job(
    'ecr',
    'bring an ECR registry up to date with another one (account, region, partition), or with listed images',
    'npx image-replication ecr --src-region eu-west-1 --dest-account 123456789012 --dest-credential drh-credentials --dest-region cn-northwest-1',
  );
  declareEcr(ecr, async (options) => {
    const { runEcr } = await import('./commands/ecr.ts');
    status = await start('ecr', options, (session) => runEcr(session, options));
  });
  const state = job(
    'status',
    'show the status of each image that `ecr` or `mirror` has replicated',
    'npx image-replication status --store sqlite:out/status.db --state failed',
  );
  declareStatus(state, async (options) => {
    const { runStatus } = await import('./commands/status.ts');
    // The record of the run that the status is about stays.
    const out = join(options.out, 'status');
    status = await start('status', { ...options, out }, (session) => runStatus(session, options));
  });

  job(
    'verify',
    'check a target, and the sources, against a lock; changes nothing',
    'npx image-replication verify --lock out/replication.lock.json',
  )
    .requiredOption('--lock <file>', 'lock that a run has left')
    .option(
      '--target <target>',
      'check this target instead of the one in the lock: host[:port][/prefix], or oci-layout:DIR',
    )
    .option('--no-sources', 'do not ask the sources whether tags have moved or charts are gone')
    .option('--region <region>', 'AWS region for ECR (default: the one in the host name)')
    .action(async (options: CommonOptions & VerifyOptions) => {
      const { runVerify } = await import('./commands/verify.ts');
      status = await start('verify', options, (session) => runVerify(session, options));
    });

  job(
    'delete-repos',
    "delete a project's ECR repositories, after showing them",
    'npx image-replication delete-repos demo',
  )
    .argument('<project>', "project whose repositories go: those that carry its owners' tags")
    .option('--include-untagged', 'also repositories under <project>- that carry no tag of any owner')
    .option('--yes', 'do not ask')
    .option('--region <region>', 'AWS region (default: AWS_REGION)')
    .action(
      async (
        project: string,
        options: CommonOptions & { includeUntagged?: boolean; yes?: boolean; region?: string },
      ) => {
        const { runDeleteRepos } = await import('./commands/delete-repos.ts');
        status = await start('delete-repos', options, (session) => runDeleteRepos(session, { ...options, project }));
      },
    );

  job(
    'destroy',
    "take a deployment's replication away as RetentionType says (the destroy step of the module)",
    'npx image-replication destroy --project demo --deployment dev --module replication',
  )
    .addOption(ownership('project'))
    .addOption(ownership('deployment'))
    .addOption(ownership('module'))
    .option('--region <region>', 'AWS region (default: AWS_REGION)')
    .action(async (options: CommonOptions & Pick<EksOptions, 'project' | 'deployment' | 'module' | 'region'>) => {
      const { runDestroy } = await import('./commands/destroy.ts');
      status = await start('destroy', options, (session) => runDestroy(session, options));
    });

  job(
    'helm',
    'make sure that a helm is there to render charts with (the install step of the module)',
    'npx image-replication helm',
  ).action(async (options: CommonOptions) => {
    const { runHelm } = await import('./commands/helm.ts');
    status = await start('helm', options, runHelm);
  });

  declareMirror(job, environment, (result) => (status = result));
  declareFleet(job, environment, (result) => (status = result));
  declareKubernetesJob(job, environment, (result) => (status = result));

  const start = async (
    name: string,
    options: CommonOptions,
    work: Parameters<typeof runJob>[2],
  ): Promise<0 | 1 | 2> => {
    const run = await import('./run.ts');
    return run.runJob(name, { ...options, insecureHosts: options.insecureHost ?? [] }, work, environment);
  };

  declareChart(
    job(
      'chart',
      'copy the images of an application chart, and leave a values file that names them there',
      'npx image-replication chart -c ./charts/shop -f values.yaml -p my-company/shop --plan',
    ),
    async (options, work) => {
      status = await start('chart', options, work);
    },
  );

  try {
    await program.parseAsync([...withoutEmptyValues(program, argv)]);
    return status;
  } catch (error) {
    // commander has printed help or the problem already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}

interface EksOptions extends ShardArguments {
  readonly eksVersion?: string;
  readonly dataDir?: string;
  readonly project?: string;
  readonly deployment?: string;
  readonly module?: string;
  readonly region?: string;
  readonly platforms?: string;
  readonly target?: string;
  readonly lock?: string;
  readonly plan?: boolean;
  readonly render?: boolean;
  readonly publish?: boolean;
}

interface VerifyOptions {
  readonly lock: string;
  readonly target?: string;
  readonly sources?: boolean;
  readonly region?: string;
}

interface ImagesOptions extends ShardArguments {
  readonly list?: string;
  readonly lock?: string;
  readonly writeLock?: boolean;
  readonly target?: string;
  readonly platforms?: string;
  readonly region?: string;
  readonly verify?: boolean;
  readonly plan?: boolean;
}

function ownership(name: 'project' | 'deployment' | 'module'): Option {
  return new Option(`--${name} <name>`, `${name} name (default: SEEDFARMER_${name.toUpperCase()}_NAME)`);
}

function common(command: Command): Command {
  return command
    .option('--out <dir>', 'folder for the files that a run leaves', 'out')
    .option('--report <dir>', 'folder for report.html, report.json and report.md (default: none)')
    .option('--json', 'one JSON object per event on standard output, instead of text')
    .option('--insecure-host <host...>', 'hosts beside loopback that may be spoken to in plain HTTP')
    .addOption(
      new Option('--concurrency <n>', 'blobs moved at the same time (default: 24 over all, 16 a source)').argParser(
        positive,
      ),
    )
    .addOption(
      new Option(
        '--max-minutes <n>',
        'stop in order after so many minutes, and say what is left (default: no limit; eks: MaxMinutes)',
      ).argParser(minutes),
    );
}

function minutes(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && /^[\d.]+$/.test(text)) return value;
  throw new InvalidArgumentError('expected a number above 0');
}

function positive(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('expected a whole number above 0');
}
