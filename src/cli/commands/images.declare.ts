import type { Command } from 'commander';
import { type CommandLine, type CommonOptions } from '../command-line.ts';
import type { ShardArguments } from '../fleet/options.ts';

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

/** Declares `images`. */
export function declareImages({ job, start }: CommandLine): void {
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
      const { runImages } = await import('./images.ts');
      await start('images', options, (session) => runImages(session, options));
    });
}
