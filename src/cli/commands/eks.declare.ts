import { type CommandLine, type CommonOptions, ownership } from '../command-line.ts';
import type { ShardArguments } from '../fleet/options.ts';

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

/** Declares `eks`. */
export function declareEks({ job, start }: CommandLine): void {
  ownership(
    job(
      'eks',
      'replicate the charts and images that the EKS data files name',
      'npx image-replication eks --eks-version 1.34 --project demo --deployment dev --module replication --plan',
    ),
  )
    .option(
      '--eks-version <version>',
      'EKS version, which names the data file (default: SEEDFARMER_PARAMETER_EKS_VERSION)',
    )
    .option(
      '--data-dir <dir>',
      'folder with your own default.yaml and <version>.yaml; each replaces the shipped one as a whole',
    )
    .option('--region <region>', 'AWS region (default: AWS_REGION)')
    .option('--platforms <list>', 'platforms to copy, such as linux/amd64,linux/arm64 (default: all)')
    .option('--target <target>', 'oci-layout:DIR or host[/prefix] (default: the private ECR of account and region)')
    .option('--lock <file>', 'replicate exactly what this lock says, by digest, instead of what data files say')
    .option('--plan', 'say what would be done and write the plan, copy nothing')
    .option('--no-render', 'do not render the charts: only declared images are replicated, and nothing is proven')
    .option('--publish', 'write the result to S3 and leave the metadata for Seed-Farmer in metadata.json')
    .addHelpText(
      'after',
      `
The module's other parameters are taken from SEEDFARMER_PARAMETER_<NAME>, such as
  SEEDFARMER_PARAMETER_UNCONTROLLED_IMAGES=FAIL
README.md lists them under "Input Parameters".`,
    )
    .action(async (options: CommonOptions & EksOptions) => {
      const { runEks } = await import('./eks.ts');
      await start('eks', options, (session) => runEks(session, options));
    });
}
