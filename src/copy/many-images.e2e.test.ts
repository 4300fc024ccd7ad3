import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('a plan of 5,000 images takes less than 250 MiB, and no more than 100 MiB of heap', async () => {
  const program = join(import.meta.dirname, 'test-support/many-images.ts');
  // Beyond this heap the process would die.
  const flags = ['--max-old-space-size=100', '--import', 'tsx'];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program, '5000']);
  const result = JSON.parse(stdout) as { readonly peakMiB: number }; // as the program writes it
  // Each layer of its own and each configuration once, and a base for each hundred images.
  expect(result).toMatchObject({
    copied: 5_000,
    blobsMounted: 5_000 - 51,
    blobsRead: 10_000 + 51,
    manifestsWritten: 5_000,
  });
  if (process.platform === 'linux') expect(result.peakMiB).toBeLessThan(250);
});
