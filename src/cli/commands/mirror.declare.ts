import { InvalidArgumentError } from 'commander';
import type { CommandLine, CommonOptions } from '../command-line.ts';
import type { MirrorCommand } from '../mirror-settings.ts';

/** Declares `mirror`. */
export function declareMirror({ job, environment, ended }: CommandLine): void {
  job(
    'mirror',
    'keep the images that a mirror file lists up to date, on its schedule',
    'npx image-replication mirror --config config.ini --once',
  )
    .option('--config <file>', 'mirror file, INI or YAML (default: /app/src/config.ini where it is, else config.ini)')
    .option('--once', 'mirror what is due and end; without it the program stays and keeps to the schedule')
    .option('--status', 'show what is mirrored, when, and what comes next; asks no registry')
    .option('--plan', 'find out every tag and say what would be mirrored where and when; copies nothing')
    .option('--lock <file>', 'mirror exactly what this lock says, by digest, once, instead of the mirror file')
    .option('--write-lock', 'with --once: leave replication.lock.json, everything that the file asks for, by digest')
    .option('--port <n>', 'port of /healthz and /metrics; 0 for any that is free', port, 8080)
    .option(
      '--target <target>',
      'host[:port][/prefix], or oci-layout:DIR (default: the ECR of AWS_ACCOUNT in AWS_DEFAULT_REGION)',
    )
    .option('--region <region>', 'AWS region (default: AWS_DEFAULT_REGION)')
    .option('--platforms <list>', 'platforms of sections that name none, such as linux/amd64 (default: all)')
    .action(async (options: CommonOptions & Omit<MirrorCommand, 'insecureHosts'>) => {
      const { runMirror } = await import('./mirror.ts');
      ended(await runMirror({ ...options, insecureHosts: options.insecureHost ?? [] }, environment));
    });
}

function port(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= 65_535) return value;
  throw new InvalidArgumentError('expected a port from 0 to 65535');
}
