import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, type Stack } from 'aws-cdk-lib';
import { replicationStack } from './stack.ts';

/** The template that is launched; it is kept in the repository, so that nobody needs the CDK to deploy it. */
export const templateFile = join(import.meta.dirname, 'image-replication.template.json');

/**
 * Synthesizes the stack.
 * @param look sees it before: tests hang rules into it
 * @returns the template as it is kept, formatted like everything else
 */
export async function templateText(look: (stack: Stack) => void = () => undefined): Promise<string> {
  const outdir = await mkdtemp(join(tmpdir(), 'image-replication-cdk-'));
  try {
    // cfn-lint validates, in a test and for all partitions.
    const app = new App({ outdir, analyticsReporting: false, builtinCloudFormationValidation: false });
    const stack = replicationStack(app);
    look(stack);
    const template: unknown = app.synth().getStackByName(stack.stackName).template;
    const { format, resolveConfig } = await import('prettier');
    return await format(JSON.stringify(template), { ...(await resolveConfig(templateFile)), parser: 'json' });
  } finally {
    await rm(outdir, { recursive: true, force: true });
  }
}
