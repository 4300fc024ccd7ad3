import { type CommandLine, type CommonOptions, ownership } from '../command-line.ts';

interface DestroyOptions {
  readonly project?: string;
  readonly deployment?: string;
  readonly module?: string;
  readonly region?: string;
}

/** Declares `destroy`. */
export function declareDestroy({ job, start }: CommandLine): void {
  ownership(
    job(
      'destroy',
      "take a deployment's replication away as RetentionType says (the destroy step of the module)",
      'npx image-replication destroy --project demo --deployment dev --module replication',
    ),
  )
    .option('--region <region>', 'AWS region (default: AWS_REGION)')
    .addHelpText('after', '\nKeeps everything unless SEEDFARMER_PARAMETER_RETENTION_TYPE=DESTROY is set.')
    .action(async (options: CommonOptions & DestroyOptions) => {
      const { runDestroy } = await import('./destroy.ts');
      await start('destroy', options, (session) => runDestroy(session, options));
    });
}
