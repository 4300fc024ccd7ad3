import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Two projects: `unit` needs nothing but Node and ends in seconds; `e2e` uses the tools that scripts/setup.sh fetches
// (helm, moto, seedfarmer, a distribution registry, skopeo).
// Timeouts tell a hang from a slow machine, nothing else. On a shared CI machine a test that failed is run again, twice at most, and
// marked in the output; here it fails at once.
const retry = process.env['CI'] === undefined ? 0 : 2;

export default defineConfig({
  test: {
    // Test files wait a lot: two at a time even where vitest would take one core and leave the other to itself.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'bench/**/*.test.ts', 'deploy/**/*.test.ts', 'scripts/**/*.test.ts'],
          exclude: ['**/*.e2e.test.ts'],
          testTimeout: 60_000,
          retry,
        },
      },
      {
        test: {
          name: 'e2e',
          include: [
            'src/**/*.e2e.test.ts',
            'test/**/*.e2e.test.ts',
            'bench/**/*.e2e.test.ts',
            'deploy/**/*.e2e.test.ts',
          ],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          retry,
          fileParallelism: false,
        },
      },
    ],
  },
});
