import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReplicationErrors } from '../../model/errors.ts';
import { dataFileHash, loadDataFiles } from './data-files.ts';
import type { DataFileSet } from './entries.ts';
import { findUserDirectory } from './user-directory.ts';

let root: string;
let shippedDirectory: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'data-files-'));
  shippedDirectory = join(root, 'data/eks_dockerimage-replication/versions');
  await mkdir(shippedDirectory, { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const defaultYaml = `charts:
  first:
    name: first-chart
    repository: https://charts.example.com/stable
    version: 1.0.0
    images:
      main:
        repository: { location: values, path: image.repository }
        tag: { location: chart, path: appVersion, prefix: v }
  second:
    name: second-chart
    repository: https://charts.example.com/stable
    version: 2.0.0
additional_images:
  agent: public.ecr.aws/agent:1
  helper: quay.io/helper:1
`;

async function put(files: Readonly<Record<string, string>>, folder = shippedDirectory): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
}

function load(eksVersion = '1.34', userDirectory?: string): Promise<DataFileSet> {
  return loadDataFiles({ directories: { shippedDirectory, userDirectory }, eksVersion });
}

/** The messages, without the folder. */
async function problemsOf(work: Promise<unknown>): Promise<readonly string[]> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ReplicationErrors)) throw new Error(`expected ReplicationErrors, got ${String(error)}`);
  for (const each of error.errors) expect(each.code).toBe('configuration');
  return error.errors.map(({ message }) => message.replaceAll(`${shippedDirectory}/`, ''));
}

describe('merging default.yaml and the version file', () => {
  it('takes what the version file says, part by part', async () => {
    await put({
      'default.yaml': defaultYaml,
      '1.34.yaml': `ami: { version: 1.34.0-20251006 }
charts:
  first: { version: 1.30, replication: { main: { tag: 1.10 } } }
  second: { skip: yes }
additional_images: { helper: quay.io/helper:2, extra: quay.io/extra:1 }
docker_mappings: { quay.io: mirror.example:5000/quay/, default: mirror.example/hub }
`,
    });
    const set = await load();
    expect(set.amiVersion).toBe('1.34.0-20251006');
    expect([...set.charts.keys()]).toEqual(['first']);
    const first = set.charts.get('first');
    expect(first).toMatchObject({
      version: '1.30',
      name: 'first-chart',
      repository: 'https://charts.example.com/stable',
    });
    expect(first?.images[0]?.tag).toMatchObject({ path: ['appVersion'], prefix: 'v', replacement: '1.10' });
    expect(first?.images[0]?.origin).toEqual({
      path: 'charts.first.images.main',
      file: join(shippedDirectory, 'default.yaml'),
      line: 7,
    });
    expect([...set.additionalImages].map(([name, { reference }]) => `${name} ${reference}`)).toEqual([
      'agent public.ecr.aws/agent:1',
      'helper quay.io/helper:2',
      'extra quay.io/extra:1',
    ]);
    expect(Object.fromEntries(set.dockerMappings)).toEqual({
      'quay.io': 'mirror.example:5000/quay',
      default: 'mirror.example/hub',
    });
  });

  it('lets the version file change name, repository and images, and add a chart', async () => {
    await put({
      'default.yaml': defaultYaml,
      '1.34.yaml': `charts:
  first:
    name: other
    repository: oci://registry.example/charts
    subcharts: [sub]
    images: { only: { repository: { name: busybox } } }
  third: { name: third, repository: https://c.example, version: 1.2.3, values: { a: 1.0 } }
`,
    });
    const set = await load();
    expect(set.charts.get('first')).toMatchObject({ name: 'other', repository: 'oci://registry.example/charts' });
    expect(set.charts.get('first')?.images.map(({ name }) => name)).toEqual(['only']);
    expect([...set.charts.keys()]).toEqual(['first', 'second', 'third']);
    expect(set.charts.get('third')?.values).toEqual({ a: 1 });
  });

  it('merges values, profiles, platforms and API versions', async () => {
    await put({
      'default.yaml': `${defaultYaml}apiVersions: [a/v1]\nplatforms: [linux/amd64]\n`.replace(
        'version: 2.0.0',
        'version: 2.0.0\n    values: { x: { a: 1, b: 2 } }\n    profiles: { p: { on: true } }\n    apiVersions: [b/v1]',
      ),
      '1.34.yaml': `charts:
  second:
    values: { x: { b: 3 } }
    profiles: { q: { on: false } }
    platforms: [linux/arm64]
    conditionalImages: copy
`,
    });
    const set = await load();
    const second = set.charts.get('second');
    expect(second?.values).toEqual({ x: { a: 1, b: 3 } });
    expect([...(second?.profiles.keys() ?? [])]).toEqual(['p', 'q']);
    expect(second?.platforms).toEqual(['linux/arm64']);
    expect(set.charts.get('first')?.platforms).toEqual(['linux/amd64']);
    expect(second?.apiVersions).toEqual(['a/v1', 'b/v1']);
    expect(second?.conditionalImages).toBe('copy');
  });

  it('takes empty sections as nothing', async () => {
    await put({
      'default.yaml': defaultYaml,
      '1.34.yaml': 'charts:\n  first:\ndocker_mappings:\nadditional_images:\n',
    });
    const set = await load();
    expect(set.amiVersion).toBe('');
    expect([...set.charts.keys()]).toEqual(['first', 'second']);
  });
});

describe('problems in data files', () => {
  it('names file, line and key of every one, in both files at once', async () => {
    await put({
      'default.yaml': defaultYaml.replace('images:\n', 'imges:\n').replace('version: 2.0.0', 'version: [2]'),
      '1.34.yaml': 'ami: 5\ndocker_mapings: {}\ncharts:\n  first: { replication: { main: { tags: v1 } } }\n',
    });
    expect(await problemsOf(load())).toEqual([
      'default.yaml:6: charts.first.imges: unknown key (nearest known key: "images")',
      'default.yaml:13: charts.second.version: expected text, found a list',
      '1.34.yaml:1: ami: expected a map, found text',
      '1.34.yaml:2: docker_mapings: unknown key (nearest known key: "docker_mappings")',
      '1.34.yaml:4: charts.first.replication.main.tags: unknown key (nearest known key: "tag")',
    ]);
  });

  it('explains wrong fields of an image', async () => {
    const image = (text: string): string => defaultYaml.replace(/repository: \{ location.*\}/, `repository: ${text}`);
    await put({ '1.34.yaml': '{}' });
    const expectProblem = async (text: string, problem: string): Promise<void> => {
      await put({ 'default.yaml': image(text) });
      expect(await problemsOf(load())).toEqual([`default.yaml:8: charts.first.images.main.repository${problem}`]);
    };
    await expectProblem('{ location: values }', ': needs `location` (values or chart) and `path`, or `name`');
    await expectProblem('{ name: a, path: b }', ': has `name` (a literal) together with path');
    await expectProblem('{ location: value, path: b }', '.location: must be values or chart');
    await expectProblem(
      '{ location: values, path: a..b }',
      '.path: is no path (expected names with dots between them, such as image.repository)',
    );
    await expectProblem(
      '{ location: values, path: __proto__.x }',
      '.path: is no path (expected names with dots between them, such as image.repository)',
    );
    await expectProblem('image.repository', ': expected a map, found text');
  });

  it('finds charts, images and parts that the other file does not know', async () => {
    await put({
      'default.yaml': defaultYaml,
      '1.34.yaml': `charts:
  frist: { version: 1.0.0 }
  first: { replication: { mian: { tag: v1 }, main: { registry: quay.io } } }
`,
    });
    expect(await problemsOf(load())).toEqual([
      '1.34.yaml:3: charts.first.replication.mian: no such image is declared for this chart (nearest declared image: "main")',
      '1.34.yaml:3: charts.first.replication.main.registry: the image declares no registry, so there is no value that could be set',
      '1.34.yaml:2: charts.frist: no such chart in default.yaml (nearest known chart: "first"), and name, repository missing for a new one',
    ]);
  });

  it('names missing parts of a chart, but not of a skipped one', async () => {
    await put({
      'default.yaml': 'charts:\n  a: { name: a }\n  b: { name: b }\n',
      '1.34.yaml': 'charts: { b: { skip: true } }',
    });
    expect(await problemsOf(load())).toEqual(['default.yaml:2: charts.a: repository, version missing']);
  });

  it('reports YAML that cannot be read with its line', async () => {
    await put({ 'default.yaml': defaultYaml, '1.34.yaml': 'ami:\n  version: "1\ncharts: {}\n' });
    const problems = await problemsOf(load());
    expect(problems[0]).toMatch(/^1\.34\.yaml:\d+: is no valid YAML: /);
    await put({ '1.34.yaml': 'charts: *nothing\n' });
    expect((await problemsOf(load()))[0]).toMatch(/^1\.34\.yaml: is no valid YAML: /);
    await put({ '1.34.yaml': 'ami: {}\nami: {}\n' });
    expect((await problemsOf(load()))[0]).toMatch(/^1\.34\.yaml:2: is no valid YAML: Map keys must be unique/);
  });

  it('refuses credentials in URLs without repeating them', async () => {
    await put({
      'default.yaml': defaultYaml.replaceAll('https://charts.', 'https://user:pa55word@charts.'),
      '1.34.yaml': 'docker_mappings: { quay.io: "user:pa55word@host" }',
    });
    const problems = await problemsOf(load());
    expect(problems).toHaveLength(3);
    expect(problems.join()).not.toContain('pa55word');
  });

  it('refuses names that JavaScript objects have of themselves, with file and line', async () => {
    await put({
      'default.yaml': `charts:
  constructor: { name: a, repository: https://charts.example.com/stable, version: 1.0.0 }
  __proto__: { name: a, repository: https://charts.example.com/stable, version: 1.0.0 }
  first:
    name: a
    repository: https://charts.example.com/stable
    version: 1.0.0
    images:
      toString: { repository: { location: values, path: image } }
    values:
      constructor: { is: a value as any other }
      a: { __proto__: { polluted: true } }
`,
      '1.34.yaml': `additional_images: { valueOf: quay.io/helper:1 }
docker_mappings:
  hasOwnProperty: mirror.example
`,
    });
    expect(await problemsOf(load())).toEqual([
      'default.yaml:2: "constructor" cannot be used as a key: JavaScript has it in every object',
      'default.yaml:3: "__proto__" cannot be used as a key: JavaScript has it in every object',
      'default.yaml:9: "toString" cannot be used as a key: JavaScript has it in every object',
      'default.yaml:12: "__proto__" cannot be used as a key: JavaScript has it in every object',
      '1.34.yaml:1: "valueOf" cannot be used as a key: JavaScript has it in every object',
      '1.34.yaml:3: "hasOwnProperty" cannot be used as a key: JavaScript has it in every object',
    ]);
  });

  it('leaves values named like methods of JavaScript alone', async () => {
    await put({
      'default.yaml': defaultYaml,
      '1.34.yaml': 'charts: { first: { values: { constructor: { a: 1 }, toString: b } } }\n',
    });
    expect((await load()).charts.get('first')?.values).toEqual({ constructor: { a: 1 }, toString: 'b' });
  });

  it.each(['', '# nothing yet\n', '---\n'])('says that an empty file is empty: %j', async (text) => {
    await put({ 'default.yaml': defaultYaml, '1.34.yaml': text });
    expect(await problemsOf(load())).toEqual(['1.34.yaml:1: is empty']);
  });

  it('says that it reads one YAML document of a file, where the second begins', async () => {
    await put({ 'default.yaml': defaultYaml, '1.34.yaml': 'ami: { version: a }\n---\ncharts: {}\n' });
    expect(await problemsOf(load())).toEqual(['1.34.yaml:2: a second YAML document begins here, and only one is read']);
  });

  it('refuses platforms that are none', async () => {
    await put({ 'default.yaml': defaultYaml, '1.34.yaml': 'platforms: [amd64]' });
    expect((await problemsOf(load()))[0]).toMatch(/^1\.34\.yaml:1: platforms\.0: "amd64" is not a platform/);
  });
});

describe('finding the files', () => {
  it('says which versions there are, and that 1.3 is an unquoted 1.30', async () => {
    await put({ 'default.yaml': defaultYaml, '1.30.yaml': '{}', '1.9.yaml': '{}' });
    const user = join(root, 'mine');
    await put({ '1.31.yaml': '{}' }, user);
    expect(await problemsOf(load('1.29', user))).toEqual([
      `there is no data file for EKS version "1.29" in ${user} and ${shippedDirectory}: there are 1.9, 1.30, 1.31`,
    ]);
    expect((await problemsOf(load('1.3')))[0]).toContain('"1.3" is almost surely an unquoted 1.30');
    await put({ '1.35.yml': '' });
    expect((await problemsOf(load('1.35')))[0]).toContain('(1.35.yml must be called 1.35.yaml)');
  });

  it('does not leave the folder, whatever the version says', async () => {
    await put({ 'default.yaml': defaultYaml });
    await put({ 'secret.yaml': '{}' }, root);
    expect((await problemsOf(load('../../../secret')))[0]).toContain('there is no data file for EKS version');
  });

  it('misses default.yaml', async () => {
    await put({ '1.34.yaml': '{}' });
    expect(await problemsOf(load())).toEqual([`there is no default.yaml in ${shippedDirectory}`]);
  });

  it("takes a user's file instead of the shipped one of that name, as a whole, and says so", async () => {
    await put({
      'default.yaml': defaultYaml,
      '1.34.yaml': 'ami: { version: shipped }\nadditional_images: { x: busybox }\n',
    });
    await put({ 'SHIPPED.json': JSON.stringify({ 'default.yaml': dataFileHash(defaultYaml) }) });
    const user = join(root, 'mine');
    await put({ '1.34.yaml': 'docker_mappings: { quay.io: mirror.example:8443/quay }' }, user);
    const set = await load('1.34', user);
    expect(set.files).toEqual([
      { name: 'default.yaml', path: join(shippedDirectory, 'default.yaml'), from: 'shipped' },
      { name: '1.34.yaml', path: join(user, '1.34.yaml'), from: 'user' },
    ]);
    expect(set.amiVersion).toBe('');
    expect(set.additionalImages.has('x')).toBe(false);
    expect(set.userHosts).toEqual(new Set(['mirror.example:8443']));
  });

  it('knows a file that was copied over the shipped one by its content, line ends apart', async () => {
    await put({ '1.34.yaml': '{}', 'SHIPPED.json': JSON.stringify({ 'default.yaml': dataFileHash(defaultYaml) }) });
    await put({ 'default.yaml': defaultYaml.replaceAll('\n', '\r\n') });
    expect((await load()).userHosts).toEqual(new Set());
    await put({ 'default.yaml': `${defaultYaml}# mine\n` });
    const set = await load();
    expect(set.files[0]?.from).toBe('user');
    expect(set.userHosts).toEqual(new Set(['charts.example.com']));
  });

  it('finds the folder that a manifest copied dataFiles to', async () => {
    await put({ 'default.yaml': defaultYaml });
    expect(await findUserDirectory(root, shippedDirectory)).toBeUndefined();
    const mine = join(root, 'config/replication');
    await put({ '1.34.yaml': '{}' }, mine);
    await put({ '1.34.yaml': '{}' }, join(root, 'src/fixtures'));
    expect(await findUserDirectory(root, shippedDirectory)).toBe(mine);
    await put({ 'default.yaml': '{}' }, join(root, 'other'));
    await expect(findUserDirectory(root, shippedDirectory)).rejects.toThrow('config/replication, other');
  });
});
