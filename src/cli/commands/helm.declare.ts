import { type CommandLine, type CommonOptions } from '../command-line.ts';

/** Declares `helm`. */
export function declareHelm({ job, start }: CommandLine): void {
  job(
    'helm',
    'make sure that a helm is there to render charts with (the install step of the module)',
    'npx image-replication helm',
  )
    .addHelpText(
      'after',
      `
A helm on PATH is taken, else get.helm.sh's. For another archive set
  SEEDFARMER_PARAMETER_HELM_DISTRO_URL=https://host/path/helm.tar.gz`,
    )
    .action(async (options: CommonOptions) => {
      const { runHelm } = await import('./helm.ts');
      await start('helm', options, runHelm);
    });
}
