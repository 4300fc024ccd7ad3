import { type CommandLine, type CommonOptions } from '../command-line.ts';

/** Declares `helm`. */
export function declareHelm({ job, start }: CommandLine): void {
  job(
    'helm',
    'make sure that a helm is there to render charts with (the install step of the module)',
    'npx image-replication helm',
  ).action(async (options: CommonOptions) => {
    const { runHelm } = await import('./helm.ts');
    await start('helm', options, runHelm);
  });
}
