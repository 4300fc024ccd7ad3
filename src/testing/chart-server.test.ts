import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type ChartServer, type ChartServerOptions, startChartServer } from './chart-server.ts';
import { packageChart } from './sample-charts.ts';
import { sampleCharts } from './samples.ts';

const servers: ChartServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(options: ChartServerOptions): Promise<ChartServer> {
  const server = await startChartServer(options);
  servers.push(server);
  return server;
}

interface Index {
  readonly apiVersion: string;
  readonly entries: Record<string, { version: string; urls: string[]; digest?: string }[]>;
}

async function indexOf(server: ChartServer, headers: Record<string, string> = {}): Promise<Index> {
  return parse(await (await fetch(`${server.url}/index.yaml`, { headers })).text()) as Index;
}

describe('a chart repository', () => {
  it('indexes every chart by relative URL and digest, and serves packages and provenance', async () => {
    const server = await start({ charts: sampleCharts(), path: '/stable' });
    const index = await indexOf(server);
    expect(index.apiVersion).toBe('v1');
    expect(Object.keys(index.entries).sort()).toEqual(
      ['agent', 'gateway', 'installer', 'operator', 'pinned', 'platform', 'web', 'worker'].sort(),
    );
    const [web] = index.entries['web'] ?? [];
    const url = new URL(web?.urls[0] ?? '', `${server.url}/`);
    const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(web?.digest);
    expect(await (await fetch(`${url.href}.prov`)).text()).toContain('sample provenance of web');
    const [agent] = index.entries['agent'] ?? [];
    expect(agent).toMatchObject({ version: '1.0.0+build.7', urls: ['agent-1.0.0%2Bbuild.7.tgz'] });
    expect((await fetch(new URL(agent?.urls[0] ?? '', `${server.url}/`))).status).toBe(200);
    expect([server.count('chart-index'), server.count('chart'), server.count('chart-provenance')]).toEqual([1, 2, 1]);
    expect((await fetch(`${server.url}/absent-1.0.0.tgz`)).status).toBe(404);
  });

  it('has URLs elsewhere, digests of other forms and entries of any kind, as told', async () => {
    const charts = [packageChart({ name: 'one', version: '1.0.0' })];
    const absolute = await start({ charts, urls: 'absolute', digests: 'prefixed' });
    const [entry] = (await indexOf(absolute)).entries['one'] ?? [];
    expect(entry?.urls).toEqual([`${absolute.url}/one-1.0.0.tgz`]);
    expect(entry?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    const extraEntries = { two: [{ name: 'two' }] };
    const odd = await start({ charts, urls: { base: 'https://files.example/x' }, digests: 'absent', extraEntries });
    const index = await indexOf(odd);
    expect(index.entries['one']?.[0]).toMatchObject({ urls: ['https://files.example/x/one-1.0.0.tgz'] });
    expect(index.entries['one']?.[0]).not.toHaveProperty('digest');
    expect(index.entries['two']).toEqual([{ name: 'two' }]);
  });

  it('wants credentials where it is told to', async () => {
    const server = await start({ charts: sampleCharts(), auth: { username: 'user', password: 'pass' } });
    const refused = await fetch(`${server.url}/index.yaml`);
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="charts"']);
    const authorization = `Basic ${Buffer.from('user:pass').toString('base64')}`;
    expect((await indexOf(server, { authorization })).apiVersion).toBe('v1');
  });

  it('serves a folder, takes charts later, and fails when told', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'charts-'));
    try {
      const chart = packageChart({ name: 'one', version: '1.0.0' });
      await writeFile(join(directory, chart.file), chart.bytes);
      await writeFile(join(directory, `${chart.file}.prov`), 'signed');
      const server = await start({ directory });
      await server.add(packageChart({ name: 'one', version: '1.1.0' }));
      const versions = (await indexOf(server)).entries['one']?.map(({ version }) => version);
      expect(versions).toEqual(['1.0.0', '1.1.0']);
      expect(await (await fetch(`${server.url}/${chart.file}.prov`)).text()).toBe('signed');
      server.fail({ class: 'chart', fault: { kind: 'status', status: 503 } });
      expect((await fetch(`${server.url}/${chart.file}`)).status).toBe(503);
      expect((await fetch(`${server.url}/${chart.file}`)).status).toBe(200);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
