import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeWith, requireTool } from '../../test/tools.ts';
import { noCredentials } from '../model/credentials.ts';
import { directNetwork } from '../model/network.ts';
import type { WriteStore } from '../model/store.ts';
import { registryStore } from '../registry/store.ts';
import { createTransport, type Transport } from '../registry/transport.ts';
import { silentReporter } from '../report/events.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import { readChart } from './chart.ts';
import { chartFetcher } from './fetch.ts';
import { ensureHelm, helmVersion } from './helm.ts';
import { parseHelmYaml } from './helm-yaml.ts';
import { type ChartPackage, packageChart } from './package.ts';
import { renderChart } from './render/render-chart.ts';
import { chartAtTarget } from './target.ts';
import { calm, chartOf, downloadsWith, serveFiles, sha256Hex, tgzOf } from './test-support.ts';

const chartYaml = `apiVersion: v2
name: app
version: 1.2.3+build.7
appVersion: 1.10
description: "A <chart> & more"
home: https://example.com
sources: [https://git.example/app]
maintainers: [{name: Ann, email: ann@example.com}]
annotations: {z: "1", a/b: "two"}
dependencies: [{name: sub, version: 0.1.0, repository: "", alias: other}]
`;
const archive = chartOf('app', '1.2.3+build.7', {
  'Chart.yaml': chartYaml,
  'values.yaml': 'image:\n  repository: example/app # the image\n',
  'charts/sub.tgz': chartOf('sub', '0.1.0'),
});
const signed = '-----BEGIN PGP SIGNED MESSAGE-----\nnot really\n';

for (const name of ['helm3', 'helm4'] as const) {
  describeWith([name], `${name} and our charts`, () => {
    const helmPath = requireTool(name);
    let server: RegistryServer;
    let transport: Transport;
    let store: WriteStore;
    let folder: string;
    beforeEach(async () => {
      server = await startRegistryServer({ manners: 'plain' });
      transport = createTransport({ network: directNetwork, reporter: silentReporter });
      store = registryStore(transport, server.host, { credentials: noCredentials });
      folder = await mkdtemp(join(tmpdir(), 'charts-e2e-'));
    });
    afterEach(async () => {
      await transport.close();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    });

    const helm = async (...args: string[]): Promise<string> => {
      const env = { HOME: folder, PATH: '/usr/bin:/bin' };
      return (await promisify(execFile)(helmPath, args, { cwd: folder, env })).stdout;
    };
    const push = async (repository: string, made: ChartPackage): Promise<void> => {
      for (const { descriptor, bytes } of made.blobs) {
        const start = await store.startUpload(repository, descriptor.digest, undefined, calm());
        if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, bytes, calm());
      }
      await store.writeManifest(repository, made.tag, made.manifest, calm());
    };

    it('are pulled, shown and rendered from a registry', async () => {
      await push('ours/app', packageChart({ archive, provenance: Buffer.from(signed) }));
      const address = ['oci://' + server.host + '/ours/app', '--version', '1.2.3+build.7', '--plain-http'];
      await mkdir(join(folder, 'pulled'));
      await helm('pull', ...address, '--prov', '--destination', 'pulled');
      const files = (await readdir(join(folder, 'pulled'))).sort();
      expect(files).toHaveLength(2);
      expect((await readFile(join(folder, 'pulled', files[0] ?? ''))).equals(archive)).toBe(true);
      expect(await readFile(join(folder, 'pulled', files[1] ?? ''), 'utf8')).toBe(signed);
      expect(await helm('show', 'values', ...address)).toContain('repository: example/app # the image');
      expect(await helm('template', 'x', ...address)).toContain('image: "example/app:1.2.3+build.7"');
    });

    it('are the same artifact that it pushes itself, but for the time', async () => {
      const real = join(import.meta.dirname, '../../../shared/charts/repos');
      const some = existsSync(real) ? readdirSync(real, { recursive: true, encoding: 'utf8' }) : [];
      const paths = some.filter((path) => path.endsWith('.tgz')).map((path) => join(real, path));
      const own = join(folder, 'app-1.2.3+build.7.tgz');
      await writeFile(own, archive);
      for (const path of [own, ...paths]) {
        const bytes = await readFile(path);
        const made = packageChart({ archive: bytes });
        const { name } = await readChart(bytes);
        await helm('push', path, `oci://${server.host}/theirs`, '--plain-http');
        const theirs = server.manifest(`theirs/${name}`, made.tag);
        const json = JSON.parse(Buffer.from(theirs?.bytes ?? []).toString()) as { annotations: Record<string, string> };
        delete json.annotations['org.opencontainers.image.created'];
        expect(JSON.parse(Buffer.from(made.manifest.bytes).toString()), path).toEqual(json);
        const there = await chartAtTarget(
          store,
          `theirs/${name}`,
          made.tag,
          made.blobs[1]?.descriptor.digest ?? made.manifest.descriptor.digest,
          calm(),
        );
        expect(there, path).toMatchObject({ kind: 'same' });
      }
    });

    it('are read after it has pushed them', async () => {
      const path = join(folder, 'app-1.2.3+build.7.tgz');
      await writeFile(path, archive);
      await helm('push', path, `oci://${server.host}/read`, '--plain-http');
      const fetch = chartFetcher({ downloads: downloadsWith(), store: () => store });
      const wanted = { name: 'app', repository: `oci://${server.host}/read`, version: '1.2.3+build.7' };
      const chart = await fetch(wanted, calm());
      expect(Buffer.from(chart.archive).equals(archive)).toBe(true);
      expect(chart.source).toMatchObject({ kind: 'oci', reference: '1.2.3_build.7', repository: 'read/app' });
      expect([...chart.chart.subcharts.keys()]).toEqual(['other']);
    });

    it('have values that we read as it does', async () => {
      const text = `on: yes
plain: {octal: 0777, new: 0o17, time: 12:30:45, date: 2024-01-02, hex: 0x1F, bin: 0b11, float: 1.50, exp: 1e3}
strings: ["yes", 'no', 1.2.3, v1, "1.10", 190:20:30, ~x]
nothing: [~, null, Null, ""]
under: 1_000
dup: 1
dup: 2
base: &b {x: 1}
merged:
  <<: *b
  z: 2
text: |
  line
  other
`;
      const helmReads = { path: helmPath, version: await helmVersion(helmPath, calm()) };
      const chart = chartOf('v', '1.0.0', { 'values.yaml': text, 'templates/pod.yaml': 'v: {{ .Values | toJson }}\n' });
      const outcome = await renderChart(helmReads, { chart, kubeVersion: '1.34', signal: calm() });
      const render = outcome.kind === 'rendered' ? outcome.text : '';
      expect(parseHelmYaml(text, 'values')).toEqual(JSON.parse(render.slice(render.indexOf('v: ') + 3)));
    });

    it('are worked on by it, found on the path or fetched as an archive', async () => {
      const binary = await readFile(helmPath);
      const platform = { x64: 'linux-amd64', arm64: 'linux-arm64' }[process.arch as 'x64' | 'arm64'];
      const tgz = tgzOf([{ path: `${platform}/helm`, content: binary }], 1);
      const files = await serveFiles(new Map([['/helm.tar.gz', tgz]]));
      const options = {
        cacheDirectory: join(folder, 'cache'),
        downloads: downloadsWith(),
        platform: 'linux',
        arch: process.arch,
        signal: calm(),
        notice: () => undefined,
      };
      try {
        const fetched = await ensureHelm({
          ...options,
          url: `${files.url}/helm.tar.gz`,
          checksum: sha256Hex(tgz),
          searchPath: '',
        });
        expect(fetched.version).toMatch(name === 'helm3' ? /^3\./ : /^4\./);
        expect((await readFile(fetched.path)).equals(binary)).toBe(true);
      } finally {
        await files.close();
      }
      await symlink(helmPath, join(folder, 'helm'));
      await expect(ensureHelm({ ...options, searchPath: folder })).resolves.toMatchObject({
        path: join(folder, 'helm'),
      });
    });
  });
}
