import { spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { extract } from 'tar';
import { beforeEach, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { startStandIns, type StandIns, vaultLogin } from '../../test/stand-ins.ts';
import { onceUnlessRetried } from '../../test/story.ts';
import { describeWith, requireTool } from '../../test/tools.ts';
import { packageChart as wrapChart } from '../charts/package.ts';
import { parseLock } from '../publish/lock.ts';
import { startChartServer } from '../testing/chart-server.ts';
import { buildImage } from '../testing/image-builder.ts';
import { startRegistryServer } from '../testing/registry-server.ts';
import { type ChartSpec, deployment, packageChart } from '../testing/sample-charts.ts';

// The application chart's job: a chart rendered by the real helm, an ECR-like target, a web server with code collections.

describeWith(['helm4'], 'an application chart', () => {
  let world: StandIns;
  let env: Variables;
  let web: Server;
  let site: string;
  let source: string;
  let chart: string;
  const pages = new Map<string, string>();

  onceUnlessRetried(begin, end);
  async function begin(): Promise<void> {
    pages.clear();
    world = await startStandIns();
    source = world.open.host;
    web = createServer((request, response) => {
      const text = pages.get(request.url ?? '');
      response.writeHead(text === undefined ? 404 : 200).end(text ?? 'not here');
    });
    await new Promise<void>((done) => web.listen(0, '127.0.0.1', done));
    site = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
    const bin = join(world.folder, 'bin');
    await mkdir(bin);
    await symlink(requireTool('helm4'), join(bin, 'helm'));
    env = { ...world.env, PATH: [bin, dirname(process.execPath), '/usr/bin', '/bin'].join(':') };
    for (const [repository, ...tags] of [
      ['apps/shop', '1.4.0', '1.9.0', '1.10.0', 'latest'],
      ['apps/queue', '3.2'],
      ['apps/collector', '0.95.0'],
      ['apps/agent', '1.1'],
      ['tools/shell', '1.0'],
      ['cc/runwhen-contrib-rw-cli-codecollection-main', '20240114120000', '20240115080000'],
      ['cc/runwhen-contrib-rw-cli-codecollection-develop', '20240116080000'],
      ['cc/acme-other-collection-main', '2024-02-01', 'latest'],
    ] as const)
      for (const tag of tags) await world.open.putImage(repository, tag, buildImage({ name: `${repository} ${tag}` }));
    await world.charts.add(packageChart(small()));
    chart = join(world.folder, 'charts', 'shop');
    await mkdir(dirname(chart));
    const archive = join(world.folder, 'shop.tgz');
    await writeFile(archive, packageChart(shop()).bytes);
    await writeFile(join(world.folder, 'small.tgz'), packageChart(small()).bytes);
    await extract({ file: archive, cwd: dirname(chart) });
    pages.set('/main/codecollections.yaml', collections('https://github.com/acme/other-collection', 'git@github.com:RunWhen-contrib/rw-cli-codecollection.git')); // prettier-ignore
  }
  async function end(): Promise<void> {
    web.close();
    await world.close();
  }
  beforeEach(async () => {
    await writeFile(join(world.folder, 'values.yaml'), values());
  });

  /** A registry apart, a repository with its host, parts that a template fills in, and a place for the code collections' image. */
  function shop(): ChartSpec {
    return {
      name: 'shop',
      version: '2.1.0',
      appVersion: '1.9.0',
      values: {
        image: { registry: source, repository: 'apps/shop', tag: '' },
        queue: { image: `${source}/apps/queue`, tag: '3.2' },
        collector: { enabled: false, image: { repository: `${source}/apps/collector`, tag: '0.95.0' } },
        runner: { runEnvironment: { image: { registry: '', repository: '' } } },
        agent: { enabled: false, image: { registry: '', repository: '' } },
      },
      templates: {
        'web.yaml': deployment(
          `- name: web
  image: "{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
- name: queue
  image: {{ .Values.queue.image }}:{{ .Values.queue.tag }}
{{- if .Values.collector.enabled }}
- name: collector
  image: {{ .Values.collector.image.repository }}:{{ .Values.collector.image.tag }}
{{- end }}
{{- if .Values.agent.enabled }}
- name: agent
  image: {{ .Values.agent.image.registry | default "${source}" }}/{{ .Values.agent.image.repository | default "apps/agent" }}:1.1
{{- end }}`,
        ),
      },
    };
  }

  const small = (): ChartSpec => ({
    name: 'small',
    version: '2.1.0',
    values: { image: `${source}/tools/shell:1.0` },
    templates: { 'run.yaml': deployment('- name: run\n  image: {{ .Values.image }}') },
  });

  const values = (): string => `# our shop
queue:
  tag: "3.2" # do not change without Ann
collector:
  enabled: true

replicas: 2
`;

  const collections = (...urls: readonly string[]): string =>
    `codecollections:\n${urls.map((url) => `  - name: some\n    git_url: ${url}\n`).join('')}`;

  async function run(args: readonly string[], changes: Variables = {}): Promise<ProgramRun> {
    return runProgram(['chart', '--out', world.out, ...args], { ...env, ...changes });
  }
  const local = (): readonly string[] => ['-c', chart, '-f', join(world.folder, 'values.yaml')];
  const fromSite = (): readonly string[] => ['--code-collections', `${site}/{branch}/codecollections.yaml`, '--code-collection-registry', `${source}/cc`]; // prettier-ignore
  const updated = (): Promise<string> => readFile(join(world.out, 'updated_values.yaml'), 'utf8');

  /** Image references that helm itself renders with the updated values file. */
  function rendered(): readonly string[] {
    const args = ['template', 'x', chart, '-f', join(world.out, 'updated_values.yaml')];
    const { stdout, status, stderr } = spawnSync(requireTool('helm4'), args, { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    return [...stdout.matchAll(/^\s*image: "?([^"\s]+)/gm)].map(([, image = '']) => image).sort();
  }
  function expectStatus(result: ProgramRun, status: number): void {
    expect(result.status, result.stdout + result.stderr).toBe(status);
  }

  it('goes under the prefix by the path rule, and helm names only the target with the updated values', async () => {
    await writeFile(join(world.folder, 'values.yaml'), `${values()}agent: { enabled: true }\n`);
    await writeFile(join(world.folder, 'extra.txt'), `# tools\n${source}/tools/shell:1.0 - tools.shell\n`);
    const result = await run([...local(), '-e', join(world.folder, 'extra.txt'), '-p', 'my-company/shop', '--keep-rendered', ...fromSite()]); // prettier-ignore
    expectStatus(result, 0);
    const target = `${world.ecr.host}/my-company/shop`;
    expect(rendered()).toEqual([
      `${target}/agent:1.1`,
      `${target}/collector:0.95.0`,
      `${target}/queue:3.2`,
      `${target}/shop:1.9.0`,
    ]);
    for (const [name, tag] of [
      ['shop', '1.9.0'],
      ['queue', '3.2'],
      ['collector', '0.95.0'],
      ['shell', '1.0'],
    ] as const)
      expect(world.ecr.tags(`my-company/shop/${name}`), name).toEqual([tag]);
    const text = await updated();
    expect(text).toContain('# our shop\nqueue:\n  tag: "3.2" # do not change without Ann');
    expect(text.indexOf('replicas: 2')).toBeGreaterThan(text.indexOf('collector:'));
    const after = z.looseObject({ tools: z.unknown(), runner: z.unknown(), image: z.unknown() }).parse(parse(text));
    expect(after.image).toEqual({ registry: world.ecr.host, repository: 'my-company/shop/shop' });
    expect(after.tools).toEqual({ shell: { image: { repository: `${target}/shell`, tag: '1.0' } } });
    // The collection that the static list has, at its most recent date.
    expect(after.runner).toEqual({ runEnvironment: { image: { registry: world.ecr.host, repository: 'my-company/shop/runwhen-contrib-rw-cli-codecollection-main', tag: '20240115080000' } } }); // prettier-ignore
    expect(world.ecr.tags('my-company/shop/acme-other-collection-main')).toEqual(['2024-02-01']);
    const list = await readFile(join(world.out, 'helm_chart_images.txt'), 'utf8');
    expect(list.trim().split('\n')).toEqual([`${source}/apps/agent:1.1`, `${source}/apps/collector:0.95.0`, `${source}/apps/queue:3.2`, `${source}/apps/shop:1.9.0`]); // prettier-ignore
    expect(await readFile(join(world.out, 'rendered_chart.yaml'), 'utf8')).toContain(`${source}/apps/queue:3.2`);
  });

  it('moves nothing when it runs again, also with its own updated values', async () => {
    const first = ['-p', 'again', '--no-code-collections'];
    expectStatus(await run([...local(), ...first]), 0);
    const before = await updated();
    world.ecr.reset();
    expectStatus(await run([...local(), ...first]), 0);
    expect(world.ecr.requests.of(({ method }) => method === 'PUT' || method === 'POST').filter(({ class: kind }) => kind !== 'api')).toEqual([]); // prettier-ignore
    expect(await updated()).toBe(before);
    const own = join(world.folder, 'own.yaml');
    await writeFile(own, before);
    expectStatus(await run(['-c', chart, '-f', own, ...first]), 0);
    expect(await updated()).toBe(before);
    // In the account and region that it was written for a lock needs no target.
    const lock = join(world.folder, 'again.lock.json');
    await rename(join(world.out, 'replication.lock.json'), lock);
    expectStatus(await run(['--lock', lock, '-f', own]), 0);
    expect(await updated()).toBe(before);
  });

  it.each([
    ['an archive', () => ['-c', join(world.folder, 'small.tgz')]],
    ['a repository by its address', () => ['-c', `${world.charts.url}/small`]],
    ['a name in a repository', () => ['-c', 'small', '--repo', world.charts.url, '--chart-version', '^2']],
    ['the address of an archive', () => ['-c', `${world.charts.url}/small-2.1.0.tgz`]],
  ])('is read from %s', async (_, args) => {
    expectStatus(await run([...args(), '--plan', '--no-code-collections']), 0);
    expect(await updated()).toContain('/test-rwl-runwhen/shell:1.0');
  });

  it.each([
    ['with its tag', '/small:2.1.0', []],
    ['with a range', '/small', ['--chart-version', '>=2 <3']],
    ['at its newest', '/small', []],
  ])('is read from a registry, %s', async (_, name, more) => {
    const { manifest, blobs, tag } = wrapChart({ archive: packageChart(small()).bytes });
    const { digest } = manifest.descriptor;
    const content = new Map(blobs.map(({ descriptor, bytes }) => [descriptor.digest, bytes]));
    const image = { digest, descriptor: manifest.descriptor, manifests: [manifest], blobs: content };
    await world.open.putImage('helm/charts/small', tag, image);
    const args = ['-c', `oci://${source}/helm/charts${name}`, ...more];
    expectStatus(await run([...args, '-p', 'from-oci', '--no-code-collections']), 0);
    expect(await updated()).toContain(`${world.ecr.host}/from-oci/shell:1.0`);
    expect(world.ecr.tags('from-oci/shell')).toEqual(['1.0']);
  });

  it('is told of where a registry does not have it', async () => {
    const args = ['-c', `oci://${source}/helm/charts/small:9.9.9`, '--static-images', await oneImage()];
    const result = await run([...args, '--plan', '--no-code-collections']);
    expectStatus(result, 1);
    expect(result.stdout).toMatch(/FALLBACK: the images of chart oci:\S+small:9\.9\.9 could not be found out/);
  });

  it('has its code collections from a checkout of any branch, or from the file alone', async () => {
    const checkout = join(world.folder, 'codecollection-registry');
    await mkdir(join(checkout, '.git'), { recursive: true });
    await writeFile(join(checkout, '.git', 'HEAD'), 'ref: refs/heads/main\n');
    const list = join(checkout, 'codecollections.yaml');
    await writeFile(list, collections('ssh://git@github.com/runwhen-contrib/rw-cli-codecollection'));
    const from = (place: string, ...more: readonly string[]): Promise<ProgramRun> =>
      run([...local(), '-p', 'checkout', '--code-collection-registry', `${source}/cc/`, '--code-collections', place, ...more]); // prettier-ignore
    const same = await from(checkout);
    expectStatus(same, 0);
    expect(same.stdout).not.toContain('checked out');
    const other = await from(`file://${list.replace(/codecollections\.yaml$/, '')}`, '-b', 'develop');
    expectStatus(other, 0);
    expect(other.stdout).toContain('has branch main checked out, while the images are those of branch develop');
    expectStatus(await from(list), 0);
    const name = 'checkout/runwhen-contrib-rw-cli-codecollection';
    expect([world.ecr.tags(`${name}-main`), world.ecr.tags(`${name}-develop`)]).toEqual([['20240115080000'], ['20240116080000']]); // prettier-ignore
    const nowhere = await from(
      join(world.folder, 'no-checkout'),
      '--plan',
      '--static-code-collections',
      await oneImage(),
    );
    expectStatus(nowhere, 1);
    expect(nowhere.stdout).toContain('the list of code collections cannot be read');
  });

  it('is read as repo/chart from a repository that helm was told of', async () => {
    const config = join(world.folder, 'helm-config');
    await mkdir(config, { recursive: true });
    await writeFile(join(config, 'repositories.yaml'), `repositories:\n- name: ours\n  url: ${world.charts.url}\n`);
    expectStatus(await run(['-c', 'ours/small', '--plan', '--no-code-collections'], { HELM_CONFIG_HOME: config }), 0);
    const unknown = await run(['-c', 'other/shop', '--plan', '--no-code-collections', '--allow-fallback', '--static-images', await oneImage()], { HELM_CONFIG_HOME: config }); // prettier-ignore
    expectStatus(unknown, 0);
    expect(unknown.stdout).toContain('invalid Helm chart path: other/shop');
  });

  it('is read with the logins that helm has, each for its own host; its values file gets another name', async () => {
    const login = { username: 'helm', password: 'repo-Pa55/word' };
    const repository = await startChartServer({ charts: [packageChart(small())], auth: login });
    const config = join(world.folder, 'helm-logins');
    await mkdir(join(config, 'registry'), { recursive: true });
    const known = { name: 'locked', url: repository.url, ...login };
    await writeFile(join(config, 'repositories.yaml'), JSON.stringify({ repositories: [known] }));
    const auth = Buffer.from(`${vaultLogin.username}:${vaultLogin.password}`).toString('base64');
    await writeFile(
      join(config, 'registry', 'config.json'),
      JSON.stringify({ auths: { [world.vault.host]: { auth } } }),
    );
    const { manifest, blobs, tag } = wrapChart({ archive: packageChart(small()).bytes });
    const content = new Map(blobs.map(({ descriptor, bytes }) => [descriptor.digest, bytes]));
    const image = { digest: manifest.descriptor.digest, descriptor: manifest.descriptor, manifests: [manifest], blobs: content }; // prettier-ignore
    await world.vault.putImage('helm/small', tag, image);
    world.open.reset();
    try {
      for (const place of ['locked/small', `${repository.url}/small`, `oci://${world.vault.host}/helm/small`]) {
        const args = ['-c', place, '--plan', '--no-code-collections', '--updated-values', 'mine.yaml'];
        const result = await run(args, { HELM_CONFIG_HOME: config });
        expectStatus(result, 0);
        expect(await readFile(join(world.out, 'mine.yaml'), 'utf8')).toContain('/test-rwl-runwhen/shell:1.0');
        expect(result.stdout + result.stderr).not.toMatch(/Pa55/);
        await rm(join(world.out, 'mine.yaml'));
      }
      expect(world.open.requests.entries.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
      const without = await run(['-c', `${repository.url}/small`, '--plan', '--no-code-collections', '--static-images', await oneImage()]); // prettier-ignore
      expectStatus(without, 1);
    } finally {
      await repository.close();
    }
  });

  const oneImage = async (): Promise<string> => {
    const path = join(world.folder, 'static.json');
    const entry = { repository_image: `${source}/apps/shop`, destination: '{prefix}/shop', helm_key: 'image' };
    await writeFile(path, JSON.stringify([entry]));
    return path;
  };

  it('names an image that no value moves with its template: copied all the same, and a failure where that is wanted', async () => {
    const fixed: ChartSpec = {
      name: 'fixed',
      version: '1.0.0',
      templates: { 'run.yaml': deployment(`- name: run\n  image: ${source}/tools/shell:1.0`) },
    };
    const path = join(world.folder, 'fixed.tgz');
    await writeFile(path, packageChart(fixed).bytes);
    const args = ['-c', path, '-p', 'fixed', '--no-code-collections'];
    const warned = await run(args);
    expectStatus(warned, 0);
    expect(warned.stdout).toMatch(
      /chart fixed 1\.0\.0 still names \S+\/tools\/shell:1\.0 \(fixed\/templates\/run\.yaml:\d+/,
    );
    expect(world.ecr.tags('fixed/shell')).toEqual(['1.0']);
    expectStatus(await run([...args, '--uncontrolled', 'fail']), 1);
  });

  it('stands aside for the static list with -c "", which takes the most recent tag', async () => {
    const none = join(world.folder, 'none.json');
    await writeFile(none, '[]');
    const lists = ['--static-images', await oneImage(), '--static-code-collections', none];
    const result = await run(['-c', '', '-f', join(world.folder, 'values.yaml'), '-p', 'static', ...lists]);
    expectStatus(result, 0);
    expect(world.ecr.tags('static/shop')).toEqual(['1.10.0']);
  });

  it('that cannot be read lets the static list be copied, and fails in the end', async () => {
    const result = await run(['-c', './invalid-chart', '-p', 'fallback', '--static-images', await oneImage(), ...fromSite(), '-b', 'develop']); // prettier-ignore
    expectStatus(result, 1);
    expect(result.stdout).toContain('FALLBACK');
    expect(result.stdout).toContain('invalid Helm chart path: ./invalid-chart');
    expect(world.ecr.tags('fallback/shop')).toEqual(['1.10.0']);
    // That branch has no list of its own: main's is read, the images are the branch's.
    expect(world.ecr.tags('fallback/runwhen-contrib-rw-cli-codecollection-develop')).toEqual(['20240116080000']);
    expect(result.stdout).toContain('acme-other-collection-develop');
  });

  it('has its static code collections copied when the list is broken, and fails unless that is allowed', async () => {
    pages.set('/broken/codecollections.yaml', 'codecollections: []');
    const list = join(world.folder, 'collections.json');
    await writeFile(list, JSON.stringify([{ repository_image: `${source}/cc/acme-other-collection-main` }]));
    const args = ['-c', '', '--static-images', await oneImage(), '-p', 'broken', '-b', 'broken', ...fromSite(), '--static-code-collections', list]; // prettier-ignore
    const result = await run(args);
    expectStatus(result, 1);
    expect(result.stdout).toContain('is no list of code collections');
    expect(world.ecr.tags('broken/acme-other-collection-main')).toEqual(['2024-02-01']);
    expectStatus(await run([...args, '--allow-fallback']), 0);
  });

  it('gets one date tag with --date-tags, and the most recent ones with --latest', async () => {
    expectStatus(await run([...local(), '-p', 'dated', '--date-tags', '--no-code-collections']), 0);
    const [stamp = ''] = world.ecr.tags('dated/shop');
    expect(stamp).toMatch(/^20\d{12}$/);
    expect(world.ecr.tags('dated/queue')).toEqual([stamp]);
    expect(rendered()).toContain(`${world.ecr.host}/dated/shop:${stamp}`);
    expect(world.ecr.manifest('dated/shop', stamp)?.descriptor.digest).toBe(world.open.manifest('apps/shop', '1.9.0')?.descriptor.digest); // prettier-ignore
    expectStatus(await run([...local(), '-p', 'newest', '--latest', '--no-code-collections']), 0);
    expect(world.ecr.tags('newest/shop')).toEqual(['1.10.0']);
    expect(rendered()).toContain(`${world.ecr.host}/newest/shop:1.10.0`);
  });

  it('is cut to one architecture with --arch', async () => {
    expectStatus(await run([...local(), '-p', 'arm', '--arch', 'arm64', '--no-code-collections']), 0);
    const index = z
      .object({ manifests: z.array(z.object({ platform: z.object({ architecture: z.string() }) })) })
      .parse(JSON.parse(Buffer.from(world.ecr.manifest('arm/shop', '1.9.0')?.bytes ?? []).toString('utf8')));
    expect(index.manifests.map(({ platform }) => platform.architecture)).toEqual(['arm64']);
  });

  it('has one image that cannot be copied: the others are, and the next run goes on from there', async () => {
    await writeFile(join(world.folder, 'extra.txt'), `${source}/apps/missing:1\n${source}/tools/shell:1.0\n`);
    const held = { kind: 'status', status: 429, headers: { 'retry-after': '1' } } as const;
    world.open.fail({ class: 'manifest-get', repository: 'apps/shop', times: 2, fault: held });
    const args = [...local(), '-p', 'partly', '-e', join(world.folder, 'extra.txt'), '--no-code-collections'];
    const result = await run(args);
    expectStatus(result, 1);
    expect(result.stdout).toContain(`${source}/apps/missing:1`);
    expect(world.open.requests.count(({ status }) => status === 429)).toBe(2);
    expect(world.ecr.tags('partly/shop')).toEqual(['1.9.0']);
    expect(world.ecr.tags('partly/shell')).toEqual(['1.0']);
    await world.open.putImage('apps/missing', '1', buildImage({ name: 'no longer missing' }));
    world.open.reset();
    expectStatus(await run(args), 0);
    expect(world.ecr.tags('partly/missing')).toEqual(['1']);
    expect(
      world.open.requests.of(({ path, method }) => method === 'GET' && path.includes('/apps/shop/blobs/')),
    ).toEqual([]);
  });

  it('leaves a lock, which brings back exactly what was copied and the values that name it', async () => {
    const [target, other] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
    ]);
    try {
      const listed: ChartSpec = {
        ...shop(),
        values: { ...shop().values, sidecars: [{ name: 'shell', image: `${source}/tools/shell:1.0` }] },
        templates: {
          ...shop().templates,
          'side.yaml': deployment(
            '{{- range .Values.sidecars }}\n- name: {{ .name }}\n  image: {{ .image }}\n{{- end }}',
          ),
        },
      };
      const archive = join(world.folder, 'listed.tgz');
      await writeFile(archive, packageChart(listed).bytes);
      const own = join(world.folder, 'own.yaml');
      await writeFile(own, `${values()}password: hunter2-in-values\n`);
      const once = ['-c', archive, '-f', own, '-p', 'locked', '--registry', target.host, '--no-code-collections'];
      expectStatus(await run(once), 0);
      const first = { values: await updated(), digest: target.manifest('locked/queue', '3.2')?.descriptor.digest };
      expect(first.values).toContain('- name: shell');
      const lock = join(world.folder, 'kept.lock.json');
      const text = await readFile(join(world.out, 'replication.lock.json'), 'utf8');
      await writeFile(lock, text);
      expect(text).not.toContain('hunter2');
      expect(text).not.toContain(world.folder);
      expect(parseLock(text, lock)).toMatchObject({ job: 'chart', target: `${target.host}/` });

      const before = world.open.manifest('apps/queue', '3.2')?.descriptor.digest;
      await world.open.putImage('apps/queue', '3.2', buildImage({ name: 'queue that moved' }));
      expectStatus(await run(once), 0);
      expect(target.manifest('locked/queue', '3.2')?.descriptor.digest).not.toBe(before);
      await rm(join(world.out, 'updated_values.yaml'));
      expectStatus(await run(['--lock', lock, '-f', own, '--registry', target.host]), 0);
      expect(target.manifest('locked/queue', '3.2')?.descriptor.digest).toBe(before);
      expect(await updated()).toBe(first.values);
      expect(await readFile(join(world.out, 'replication.lock.json'), 'utf8')).toBe(text);
      expectStatus(await runProgram(['verify', '--lock', lock, '--no-sources', '--out', world.out], env), 0);

      const planned = await run(['--lock', lock, '--target', `${other.host}/elsewhere`, '--plan']);
      expectStatus(planned, 0);
      expect(planned.stdout).toContain(` -> ${other.host}/elsewhere/locked/queue:3.2`);
      expect(other.repositories()).toEqual([]);
      await rm(join(world.out, 'updated_values.yaml'), { force: true });
      const moved = await run(['--lock', lock, '--target', `${other.host}/elsewhere`]);
      expectStatus(moved, 0);
      expect(other.manifest('elsewhere/locked/queue', '3.2')?.descriptor.digest).toBe(before);
      expect(moved.stdout).toContain('no updated values file');
      await expect(updated()).rejects.toThrow('ENOENT');

      for (const [args, message] of [
        [['--lock', lock], `was written for another target: ${target.host}/`],
        [['--lock', lock, '--latest', '-e', 'x.txt'], 'leave out --extra-images, --latest, or --lock'],
        [['--lock', join(world.folder, 'none.lock.json')], 'cannot read the lock'],
      ] as const) {
        const refused = await run(args);
        expectStatus(refused, 2);
        expect(refused.stdout).toContain(message);
      }
    } finally {
      await world.open.putImage('apps/queue', '3.2', buildImage({ name: 'apps/queue 3.2' }));
      await Promise.all([target.close(), other.close()]);
    }
  });
});
