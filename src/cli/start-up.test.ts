import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { spawnProgram } from '../../test/program.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

const coverage = z.object({
  result: z.array(
    z.object({
      functions: z.array(z.object({ functionName: z.string(), ranges: z.array(z.object({ count: z.number() })) })),
    }),
  ),
});

/** Each module that is loaded late, or a package's in CommonJS, is a function of what is compiled, named by its path. */
const modulePath = /^(node_modules|src)\//;

describe('a start loads what its job needs:', () => {
  let folder: string;
  let source: RegistryServer;
  let target: RegistryServer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'start-up-'));
    [source, target] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
    ]);
    await source.putImage('app', '1', buildImage({ name: 'app' }));
    await writeFile(join(folder, 'list'), `${source.host}/app:1 ${target.host}/app:1\n`);
  });
  afterAll(async () => {
    await Promise.all([source.close(), target.close()]);
    await rm(folder, { recursive: true, force: true });
  });

  /** Modules of packages and of this project that ran. */
  async function loadedBy(args: readonly string[]): Promise<readonly string[]> {
    const counts = await mkdtemp(join(folder, 'coverage-'));
    const run = await spawnProgram(args, { PATH: process.env['PATH'], HOME: folder, NODE_V8_COVERAGE: counts });
    expect(run.status, run.stdout + run.stderr).toBe(0);
    const loaded = new Set<string>();
    for (const name of await readdir(counts)) {
      const { result } = coverage.parse(JSON.parse(await readFile(join(counts, name), 'utf8')));
      for (const { functions } of result)
        for (const { functionName, ranges } of functions)
          if (modulePath.test(functionName) && (ranges[0]?.count ?? 0) > 0) loaded.add(functionName);
    }
    return [...loaded];
  }
  const packagesIn = (modules: readonly string[]): readonly string[] =>
    [...new Set(modules.flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []))].sort();

  // What makes it quick: the AWS SDK alone takes more than a second to load from source.
  it('help is commander alone', async () => {
    for (const args of [['--help'], ['eks', '--help'], ['worker', '--help']])
      expect(packagesIn(await loadedBy(args)), args.join(' ')).toEqual(['commander']);
  });

  it('images between registries: no AWS SDK, no database, no metrics', async () => {
    const args = ['images', '--list', join(folder, 'list'), '--out', join(folder, 'out')];
    for (const modules of [await loadedBy(args), await loadedBy(args)]) {
      expect(packagesIn(modules)).toContain('undici');
      expect(modules.filter((path) => /@aws-sdk|@smithy|node-sqlite3|prom-client/.test(path))).toEqual([]);
    }
    expect(target.tags('app')).toEqual(['1']);
  });
});
