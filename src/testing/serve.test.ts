import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { AdminLogEntry, type ServeConfig, ServeReady, serve } from './serve.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'serve-'));
});
afterEach(() => rm(directory, { recursive: true }));

const config: ServeConfig = {
  registries: {
    open: { manners: 'plain', images: [{ repository: 'large', tag: 'v1', layers: [3_000_000] }] },
    vault: { manners: 'plain', auth: { kind: 'bearer', username: 'user', password: 'pass' } },
    target: { manners: 'ecr', repositories: ['app'] },
  },
  charts: { charts: { content: 'sample' } },
  sampleImages: { open: 'open', private: 'vault' },
};

describe('servers with an interface to control them', () => {
  it('report, count, break and show their content', async () => {
    const serving = await serve(config);
    try {
      const { admin, registries, charts } = serving.ready;
      const open = registries['open']?.url ?? '';
      expect((await fetch(`${charts['charts']?.url ?? ''}/index.yaml`)).status).toBe(200);
      const rule = { class: 'tags', fault: { kind: 'status', status: 503 } };
      await fetch(`${admin}/__admin/open/faults`, { method: 'POST', body: JSON.stringify(rule) });
      expect((await fetch(`${open}/v2/team/web/tags/list`)).status).toBe(503);
      expect((await fetch(`${open}/v2/team/web/tags/list`)).status).toBe(200);
      const log = z.array(AdminLogEntry).parse(await (await fetch(`${admin}/__admin/open/log`)).json());
      expect(log.map(({ class: what, status }) => [what, status])).toEqual([
        ['tags', 503],
        ['tags', 200],
      ]);
      await fetch(`${admin}/__admin/open/log`, { method: 'DELETE' });
      expect(await (await fetch(`${admin}/__admin/open/log`)).json()).toEqual([]);
      const content = (await (await fetch(`${admin}/__admin/open/content`)).json()) as Record<string, { tags: object }>;
      expect(content['large']?.tags).toHaveProperty('v1');
      expect(await (await fetch(`${admin}/__admin/target/content`)).json()).toHaveProperty('app');
    } finally {
      await serving.close();
    }
  });

  it('run as a process that ends with its standard input', async () => {
    const file = join(directory, 'config.json');
    await writeFile(file, JSON.stringify({ registries: { one: { manners: 'plain' } }, untilStdinEnds: true }));
    const program = fileURLToPath(new URL('serve.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', program, file], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const ready = ServeReady.parse(JSON.parse(line));
    expect((await fetch(`${ready.registries['one']?.url ?? ''}/v2/`)).status).toBe(200);
    child.stdin.end();
    expect(await exited).toEqual([0, null]);
  });
});
