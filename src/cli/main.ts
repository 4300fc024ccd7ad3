import { Command, CommanderError } from 'commander';
import metadata from '../../package.json' with { type: 'json' };
import { commandLine, type ExitStatus, ownOptionsFirst } from './command-line.ts';
import { declareChart } from './commands/chart.declare.ts';
import { declareDeleteRepos } from './commands/delete-repos.declare.ts';
import { declareDestroy } from './commands/destroy.declare.ts';
import { declareEcr } from './commands/ecr.declare.ts';
import { declareEks } from './commands/eks.declare.ts';
import { declareFleet } from './commands/fleet.declare.ts';
import { declareHelm } from './commands/helm.declare.ts';
import { declareImages } from './commands/images.declare.ts';
import { declareKubernetesJob } from './commands/kubernetes-job.declare.ts';
import { declareMirror } from './commands/mirror.declare.ts';
import { declareStatus } from './commands/status.declare.ts';
import { declareVerify } from './commands/verify.declare.ts';
import { withoutEmptyValues } from './fleet/empty-values.ts';
import type { Environment } from './run.ts';

/** In the order of the help. */
const declarations = [
  declareEks,
  declareImages,
  declareChart,
  declareEcr,
  declareMirror,
  declareStatus,
  declareVerify,
  declareFleet,
  declareKubernetesJob,
  declareDeleteRepos,
  declareDestroy,
  declareHelm,
];

/**
 * The command line program. Every command is loaded only when it runs: `--help` must not wait for the AWS SDK.
 * @returns exit status: 0 all done, 1 something failed, 2 wrong usage or configuration
 */
export async function main(argv: readonly string[], environment: Environment): Promise<ExitStatus> {
  const token = environment.env['TASK_TOKEN'] ?? '';
  if (token !== '' && environment.task === undefined) {
    const { runAsTask } = await import('./fleet/task.ts');
    return runAsTask(environment, token, (asTask) => main(argv, asTask));
  }
  // A reader that goes away (`… --help | head`) ends the output, not the program.
  for (const stream of [environment.stdout, environment.stderr]) stream.on('error', () => undefined);
  let status: ExitStatus = 0;
  const program = new Command('image-replication')
    .description(
      'Copies Helm charts and container images into private registries, re-points the charts, and publishes the result.',
    )
    .version(metadata.version, '-V, --version', 'print the version')
    .showHelpAfterError('(add --help for the options)')
    .showSuggestionAfterError()
    .configureHelp({ groupItems: ownOptionsFirst })
    .addHelpCommand(
      new Command('help')
        .argument('[command]')
        .description('display help for command')
        .helpOption(false)
        .helpGroup('To look and to check:'),
    )
    .configureOutput({
      writeOut: (text) => environment.stdout.write(text),
      writeErr: (text) => environment.stderr.write(text),
    })
    .exitOverride();

  const line = commandLine(program, environment, (ended) => (status = ended));
  for (const declare of declarations) declare(line);

  try {
    await program.parseAsync([...withoutEmptyValues(program, argv)]);
    return status;
  } catch (error) {
    // commander has printed help or the problem already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}
