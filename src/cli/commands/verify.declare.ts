import { type CommandLine, type CommonOptions } from '../command-line.ts';

interface VerifyOptions {
  readonly lock: string;
  readonly target?: string;
  readonly sources?: boolean;
  readonly region?: string;
}

/** Declares `verify`. */
export function declareVerify({ job, start }: CommandLine): void {
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
      const { runVerify } = await import('./verify.ts');
      await start('verify', options, (session) => runVerify(session, options));
    });
}
