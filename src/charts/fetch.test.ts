import { afterEach, describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import type { RunEvent } from '../report/events.ts';
import { type ChartServer, type ChartServerOptions, startChartServer } from '../testing/chart-server.ts';
import { chartFetcher, type FetchChart } from './fetch.ts';
import { calm, chartOf, downloadsWith, serveFiles, type TestServer } from './test-support.ts';

const signed = '-----BEGIN PGP SIGNED MESSAGE-----\n...';
const user = { kind: 'basic', username: 'ann', password: 'opensesame' } as const;

const versions = ['1.0.0', '1.1.0', 'v1.2.0', '2.0.0-rc.1', '1.1.0+build.2'];
const charts = versions.map((version) => ({ file: `app-${version}.tgz`, bytes: chartOf('app', version) }));

describe('charts from HTTP repositories', () => {
  const servers: (ChartServer | TestServer)[] = [];
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });
  const start = async (options: ChartServerOptions = {}): Promise<ChartServer> => {
    const server = await startChartServer({ charts, ...options });
    servers.push(server);
    return server;
  };
  const startFiles = async (files: Record<string, string | Uint8Array>): Promise<TestServer> => {
    const server = await serveFiles(new Map(Object.entries(files)));
    servers.push(server);
    return server;
  };
  const never = (): never => {
    throw new Error('no registry is needed');
  };
  const fetcher = (credentials = {}, events: RunEvent[] = []): FetchChart =>
    chartFetcher({
      downloads: downloadsWith(credentials),
      store: never,
      reporter: { emit: (event) => events.push(event) },
    });

  it.each([
    ['1.1.0', '1.1.0'],
    ['v1.1.0', '1.1.0'],
    ['1.2.0', 'v1.2.0'],
    ['1.1.0+build.2', '1.1.0+build.2'],
    ['~1.1', '1.1.0+build.2'],
    ['', 'v1.2.0'],
    ['>=2.0.0-0', '2.0.0-rc.1'],
  ])('are chosen by version: %j is %j', async (version, chosen) => {
    const server = await start();
    const chart = await fetcher()({ name: 'app', repository: server.url, version }, calm());
    const archive = charts.find(({ file }) => file === `app-${chosen}.tgz`)?.bytes ?? Buffer.alloc(0);
    expect(chart).toMatchObject({
      version: chosen,
      chart: { name: 'app', version: chosen, values: { image: { repository: 'example/app' } } },
      digest: digestOf(archive),
      provenance: undefined,
      source: { kind: 'http', url: `${server.url}/app-${encodeURIComponent(chosen)}.tgz` },
    });
    expect(Buffer.from(chart.archive).equals(archive)).toBe(true);
  });

  it('cost one index a repository and one archive a chart, however often they are asked for', async () => {
    const server = await start();
    const fetch = fetcher();
    const wanted = { name: 'app', repository: server.url, version: '1.0.0' };
    await Promise.all([fetch(wanted, calm()), fetch(wanted, calm())]);
    await fetch({ ...wanted, version: '1.1.0', repository: `${server.url}/` }, calm());
    expect([server.count('chart-index'), server.count('chart'), server.count('chart-provenance')]).toEqual([1, 2, 2]);
  });

  it('come with their provenance where there is one, and without a page that pretends to be', async () => {
    const [first, second] = charts;
    const files = [
      { ...first, provenance: signed },
      { ...second, provenance: '<html>hello</html>' },
    ].flatMap(({ file, bytes, provenance }) =>
      file === undefined || bytes === undefined ? [] : [{ file, bytes, provenance }],
    );
    const server = await start({ charts: files });
    const fetch = fetcher();
    const one = await fetch({ name: 'app', repository: server.url, version: '1.0.0' }, calm());
    expect(Buffer.from(one.provenance ?? []).toString()).toBe(signed);
    const two = await fetch({ name: 'app', repository: server.url, version: '1.1.0' }, calm());
    expect(two.provenance).toBeUndefined();
  });

  it('come without a provenance that the server fails to give, and say so', async () => {
    const server = await start();
    server.fail({ class: 'chart-provenance', times: 'always', fault: { kind: 'status', status: 500 } });
    const events: RunEvent[] = [];
    const { provenance } = await fetcher({}, events)({ name: 'app', repository: server.url, version: '1.0.0' }, calm());
    expect(provenance).toBeUndefined();
    expect(events).toEqual([expect.objectContaining({ type: 'notice', level: 'warning' })]);
    expect(JSON.stringify(events)).toContain('provenance file of chart app 1.0.0');
  });

  it.each(['hex', 'prefixed', 'absent'] as const)('are checked against a digest that is %s', async (digests) => {
    const server = await start({ digests });
    await expect(fetcher()({ name: 'app', repository: server.url, version: '1.0.0' }, calm())).resolves.toBeDefined();
  });

  it('are corrupt when the digest is another one, or the archive another chart', async () => {
    const wrong = await start({ digests: 'wrong' });
    await expect(fetcher()({ name: 'app', repository: wrong.url, version: '1.0.0' }, calm())).rejects.toMatchObject({
      code: 'corrupt',
      side: 'source',
      message: expect.stringContaining(`sha256:${'0'.repeat(64)}`) as string,
    });
    const swapped = await start({
      digests: 'absent',
      extraEntries: { app: [{ name: 'app', version: '9.0.0', urls: ['app-1.0.0.tgz'] }] },
    });
    await expect(fetcher()({ name: 'app', repository: swapped.url, version: '9.0.0' }, calm())).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('holds chart app 1.0.0') as string,
    });
  });

  it('that are not there are told with what is', async () => {
    const server = await start({ extraEntries: { apple: [{ version: '1.0.0', urls: ['x.tgz'] }] } });
    await expect(fetcher()({ name: 'appl', repository: server.url, version: '1.0.0' }, calm())).rejects.toMatchObject({
      code: 'not-found',
      side: 'source',
      message: expect.stringMatching(/no chart "appl" in the repository .*; it has app, apple/) as string,
    });
    await expect(fetcher()({ name: 'app', repository: server.url, version: '7.0.0' }, calm())).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('there are 2.0.0-rc.1, v1.2.0, 1.1.0+build.2, 1.1.0, 1.0.0') as string,
    });
    await expect(fetcher()({ name: 'app', repository: server.url, version: 'newest' }, calm())).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('"newest" is neither a version') as string,
    });
    const yanked = await start({ extraEntries: { gone: [{ version: '1.0.0', urls: ['gone-1.0.0.tgz'] }] } });
    await expect(fetcher()({ name: 'gone', repository: yanked.url, version: '1.0.0' }, calm())).rejects.toMatchObject({
      code: 'not-found',
      status: 404,
      message: expect.stringContaining('gone-1.0.0.tgz') as string,
    });
  });

  it('need a repository at that address', async () => {
    const server = await startFiles({ '/page/index.yaml': '<!DOCTYPE html><title>Welcome</title>' });
    await expect(fetcher()({ name: 'a', repository: server.url, version: '1' }, calm())).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining(`${server.url}/index.yaml`) as string,
    });
    await expect(
      fetcher()({ name: 'a', repository: `${server.url}/page`, version: '1' }, calm()),
    ).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('HTML') as string,
    });
    for (const repository of ['charts.example.com', 'ftp://x/y', 'https://ann:opensesame@x.example/'])
      await expect(fetcher()({ name: 'a', repository, version: '1' }, calm())).rejects.toMatchObject({
        code: 'configuration',
        message: expect.not.stringContaining('opensesame') as string,
      });
  });

  it('skip entries that helm would skip', async () => {
    const server = await start({ extraEntries: { app: [null, { urls: ['x.tgz'] }, { version: '3.0.0' }, 'text'] } });
    const { version } = await fetcher()({ name: 'app', repository: server.url, version: '*' }, calm());
    expect(version).toBe('v1.2.0');
  });

  it('keep the query of the repository URL, and tell nobody about it', async () => {
    const index = 'apiVersion: v1\nentries:\n  app:\n  - {version: 1.0.0, urls: [files/app.tgz]}\n';
    const server = await startFiles({ '/r/index.yaml': index, '/r/files/app.tgz': chartOf('app', '1.0.0') });
    const fetch = fetcher();
    await fetch({ name: 'app', repository: `${server.url}/r?token=opensesame`, version: '1.0.0' }, calm());
    expect([...server.requests].sort()).toEqual([
      'GET /r/files/app.tgz.prov?token=opensesame',
      'GET /r/files/app.tgz?token=opensesame',
      'GET /r/index.yaml?token=opensesame',
    ]);
    const failure: unknown = await fetch(
      { name: 'no', repository: `${server.url}/r?token=opensesame`, version: '1' },
      calm(),
    ).catch((error: unknown) => error);
    expect(JSON.stringify([failure, String(failure)])).not.toContain('opensesame');
  });

  it('of private repositories need the secret, whose parameter is named when it is missing or wrong', async () => {
    const server = await start({ auth: user });
    const wanted = { name: 'app', repository: server.url, version: '1.0.0' };
    const host = new URL(server.url).host;
    await expect(fetcher({ [host]: user })(wanted, calm())).resolves.toMatchObject({ version: '1.0.0' });
    for (const credentials of [{}, { [host]: { ...user, password: 'guessed-wrong' } }]) {
      const failure: unknown = await fetcher(credentials)(wanted, calm()).catch((error: unknown) => error);
      expect(failure).toMatchObject({
        code: 'unauthorized',
        host,
        remedy: expect.stringContaining('HelmRepoSecretName') as string,
      });
      expect(JSON.stringify([failure, String(failure)])).not.toContain('guessed-wrong');
    }
  });

  it('on another host than their repository get none of its credentials', async () => {
    const elsewhere = await start();
    const server = await start({ auth: user, urls: { base: elsewhere.url } });
    const fetch = fetcher({ [new URL(server.url).host]: user });
    const { source } = await fetch({ name: 'app', repository: server.url, version: '1.0.0' }, calm());
    expect(source).toEqual({ kind: 'http', url: `${elsewhere.url}/app-1.0.0.tgz` });
    const headers = elsewhere.requests.entries.map((request) => request.headers);
    expect(headers.length).toBeGreaterThan(0);
    expect(headers.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  });

  it.each([
    ['http://169.254.169.254/latest/app.tgz', /private network/],
    ['https://10.0.0.8/app.tgz', /private network/],
    ['file:///etc/passwd', /neither https nor http/],
    ['https://ann:opensesame@files.example/app.tgz', /carries credentials/],
  ])('are refused when a public index sends us to %s', async (url, message) => {
    const index = `apiVersion: v1\nentries:\n  app:\n  - {version: 1.0.0, urls: ["${url}"]}\n`;
    const downloads = {
      ...downloadsWith(),
      getBytes: () => Promise.resolve({ bytes: Buffer.from(index), finalUrl: '' }),
    };
    const fetch = chartFetcher({ downloads, store: never });
    const wanted = { name: 'app', repository: 'https://charts.example', version: '1.0.0' };
    await expect(fetch(wanted, calm())).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(message) as string,
    });
  });

  it('are asked for again after a caller was told to stop', async () => {
    const server = await start();
    const fetch = fetcher();
    const wanted = { name: 'app', repository: server.url, version: '1.0.0' };
    await expect(fetch(wanted, AbortSignal.abort())).rejects.toThrow();
    await expect(fetch(wanted, calm())).resolves.toMatchObject({ version: '1.0.0' });
  });
});
