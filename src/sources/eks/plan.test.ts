import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ReplicationError } from '../../model/errors.ts';
import { Plan } from '../../model/plan.ts';
import type { ChartContent } from './chart-content.ts';
import { checkDefaultFile, checkVersionFile, type FoundFile } from './checked-file.ts';
import type { DataFileSet } from './entries.ts';
import { mergeDataFiles } from './merge.ts';
import { type EksPlan, planEks } from './plan.ts';

const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const prefix = `${host}/demo-`;
const digest = `sha256:${'a'.repeat(64)}`;
const otherDigest = `sha256:${'b'.repeat(64)}`;

interface ChartText {
  readonly values: string;
  readonly appVersion?: string;
  readonly name?: string;
  readonly version?: string;
  readonly subcharts?: Readonly<Record<string, ChartText>>;
}

function chart(text: ChartText, name = 'demo'): ChartContent {
  const subcharts = Object.entries(text.subcharts ?? {}).map(
    ([key, subchart]) => [key, chart(subchart, subchart.name ?? key)] as const,
  );
  return {
    name: text.name ?? name,
    version: text.version ?? '1.0.0',
    metadata: text.appVersion === undefined ? {} : { appVersion: text.appVersion },
    values: parse(text.values),
    valuesText: text.values,
    subcharts: new Map(subcharts),
  };
}

const oneChart = `charts:
  demo:
    name: demo
    repository: https://charts.example.com/stable/
    version: 1.0.0
`;

function dataFiles(defaultYaml: string, versionYaml: string): DataFileSet {
  const file = (name: string, text: string): FoundFile => ({ name, path: name, from: 'user', text });
  const { set, problems } = mergeDataFiles(
    '1.34',
    checkDefaultFile(file('default.yaml', defaultYaml)),
    checkVersionFile(file('1.34.yaml', versionYaml)),
  );
  expect(problems).toEqual([]);
  return set;
}

/** Plans data files with one or more charts, all of which read as `content` (or what `readChart` gives). */
async function plan(
  defaultYaml: string,
  content: ChartText | ((name: string) => ChartContent | Promise<ChartContent>),
  versionYaml = '{}',
  platforms: 'all' | string[] = 'all',
): Promise<EksPlan> {
  return planEks(dataFiles(defaultYaml, versionYaml), {
    prefix,
    readChart: async ({ name }) => (typeof content === 'function' ? content(name) : chart(content)),
    platforms,
    signal: new AbortController().signal,
  });
}

/** Plans one chart with the images given as YAML. */
function planImages(images: string, content: ChartText, versionYaml?: string, platforms?: string[]): Promise<EksPlan> {
  return plan(`${oneChart}    images:\n${images.replace(/^/gm, '      ')}\n`, content, versionYaml, platforms);
}

const values = (result: EksPlan): unknown => result.result.charts['demo']?.values;
const targets = (result: EksPlan): readonly string[] => result.updatedImages.map(({ target }) => target);
const messages = (result: EksPlan): readonly string[] => result.problems.map(({ message }) => message);

describe('what declared images become', () => {
  it('sets the registry leaf where there is one, else the repository leaf', async () => {
    const result = await planImages(
      `a:
  registry: { location: values, path: a.registry }
  repository: { location: values, path: a.repository }
  tag: { location: values, path: a.tag }
b:
  repository: { location: values, path: b.repository }
  tag: { location: values, path: b.tag }
whole:
  repository: { location: values, path: whole }`,
      {
        values: `a: { registry: quay.io, repository: team/a, tag: v1 }
b: { repository: team/b, tag: v2 }
whole: ghcr.io/team/whole:v3@${digest}`,
      },
    );
    expect(messages(result)).toEqual([]);
    expect(values(result)).toEqual({
      a: { registry: `${prefix}quay.io`, repository: 'team/a', tag: 'v1' },
      b: { repository: `${prefix}team/b`, tag: 'v2' },
      whole: `${prefix}ghcr.io/team/whole:v3@${digest}`,
    });
    expect(result.updatedImages).toEqual([
      { src: 'quay.io/team/a:v1', target: `${prefix}quay.io/team/a:v1` },
      { src: 'team/b:v2', target: `${prefix}team/b:v2` },
      { src: `ghcr.io/team/whole:v3@${digest}`, target: `${prefix}ghcr.io/team/whole:v3@${digest}` },
    ]);
  });

  it.each(['null', '""'])('counts a registry of %s as none', async (registry) => {
    const image = `a:
  registry: { location: values, path: registry }
  repository: { location: values, path: repository }`;
    const content = { values: `registry: ${registry}\nrepository: ghcr.io/a:1` };
    expect(values(await planImages(image, content))).toEqual({ repository: `${prefix}ghcr.io/a:1` });
    const replaced = await planImages(
      image,
      { values: `registry: ${registry}\nrepository: a` },
      'charts: { demo: { replication: { a: { registry: quay.io } } } }',
    );
    expect(values(replaced)).toEqual({ registry: `${prefix}quay.io`, repository: 'a' });
    expect(targets(replaced)).toEqual([`${prefix}quay.io/a`]);
  });

  it('leads the repository to the target when the chart has no value for the registry, or shall have none', async () => {
    const literal = await planImages(
      'a: { registry: { name: "quay.io:443" }, repository: { location: values, path: repository } }',
      { values: 'repository: a' },
    );
    expect(values(literal)).toEqual({ repository: `${prefix}quay.io-443/a` });
    expect(targets(literal)).toEqual([`${prefix}quay.io-443/a`]);
    const emptied = await planImages(
      'a: { registry: { location: values, path: registry }, repository: { location: values, path: repository } }',
      { values: 'registry: docker.io\nrepository: a' },
      'charts: { demo: { replication: { a: { registry: "", repository: ghcr.io/a } } } }',
    );
    expect(values(emptied)).toEqual({ registry: '', repository: `${prefix}ghcr.io/a` });
  });

  it('writes no value for a literal name and for a tag from Chart.yaml', async () => {
    const result = await planImages(
      `node:
  registry: { location: values, path: registry }
  repository: { name: calico/node }
  tag: { location: chart, path: appVersion, prefix: v }`,
      { values: 'registry: quay.io', appVersion: '3.25.1' },
    );
    expect(values(result)).toEqual({ registry: `${prefix}quay.io` });
    expect(targets(result)).toEqual([`${prefix}quay.io/calico/node:v3.25.1`]);
  });

  it('writes a tag from values with its prefix, replaced ones as they are, and removes', async () => {
    const images = `a:
  repository: { location: values, path: image.repository }
  tag: { location: values, path: image.tag, prefix: v }
  remove: { path: image.digest }`;
    const content = { values: `image: { repository: quay.io/a, tag: 1.2.3, digest: ${digest} }` };
    const result = await planImages(images, content);
    expect(values(result)).toEqual({ image: { repository: `${prefix}quay.io/a`, tag: 'v1.2.3', digest: '' } });
    const replaced = await planImages(images, content, 'charts: { demo: { replication: { a: { tag: edge } } } }');
    expect(values(replaced)).toMatchObject({ image: { tag: 'edge' } });
    expect(targets(replaced)).toEqual([`${prefix}quay.io/a:edge`]);
  });

  it('lets a replacement stand for a path that the chart does not have', async () => {
    const result = await planImages(
      'cni: { repository: { location: values, path: image.override } }',
      { values: 'image: {}' },
      'charts: { demo: { replication: { cni: { repository: "602401143452.dkr.ecr.us-west-2.amazonaws.com/cni:v1" } } } }',
    );
    expect(values(result)).toEqual({
      image: { override: `${prefix}602401143452.dkr.ecr.us-west-2.amazonaws.com/cni:v1` },
    });
  });

  it('keeps numbers as the chart writes them, wherever they stand', async () => {
    const result = await planImages(
      `a:
  repository: { location: values, path: image.repository }
  tag: { location: values, path: image.tag }
b:
  repository: { location: values, path: image.repository, subchart: sub }
  tag: { location: values, path: image.tag, subchart: sub }`,
      {
        values: 'image: { repository: quay.io/a, tag: 1.10 }',
        subcharts: { sub: { values: 'image: { repository: quay.io/b, tag: 20240101 }' } },
      },
    );
    expect(targets(result)).toEqual([`${prefix}quay.io/a:1.10`, `${prefix}quay.io/b:20240101`]);
    expect(values(result)).toMatchObject({ image: { tag: '1.10' }, sub: { image: { tag: '20240101' } } });
  });

  it('turns the port of a registry into a part of the name, in values and targets alike', async () => {
    const result = await planImages(
      `a:
  registry: { location: values, path: registry }
  repository: { name: a }
b: { repository: { location: values, path: repository } }`,
      { values: 'registry: registry.example:5000\nrepository: localhost:5000/b:1' },
    );
    expect(values(result)).toEqual({
      registry: `${prefix}registry.example-5000`,
      repository: `${prefix}localhost-5000/b:1`,
    });
    expect(result.updatedImages).toEqual([
      { src: 'registry.example:5000/a', target: `${prefix}registry.example-5000/a` },
      { src: 'localhost:5000/b:1', target: `${prefix}localhost-5000/b:1` },
    ]);
  });

  it("puts the user's values below the overrides, and reads images out of them", async () => {
    const result = await plan(
      `${oneChart}    values: { image: { repository: mirror.example/a, pullPolicy: Always } }
    images: { a: { repository: { location: values, path: image.repository }, tag: { location: values, path: image.tag } } }
`,
      { values: 'image: { repository: quay.io/a, tag: v1 }' },
    );
    expect(values(result)).toEqual({
      image: { repository: `${prefix}mirror.example/a`, pullPolicy: 'Always', tag: 'v1' },
    });
    expect(targets(result)).toEqual([`${prefix}mirror.example/a:v1`]);
  });

  it('says that a missing tag means latest', async () => {
    const result = await planImages(
      'a: { repository: { location: values, path: r }, tag: { location: values, path: t } }',
      { values: 'r: quay.io/a\nt: ~', appVersion: '1.2.3' },
    );
    expect(values(result)).toEqual({ r: `${prefix}quay.io/a`, t: null });
    expect(targets(result)).toEqual([`${prefix}quay.io/a`]);
    expect(result.notices).toEqual([expect.stringContaining('quay.io/a:latest is copied')]);
    expect(result.notices[0]).toContain('"1.2.3"');
  });
});

describe('subcharts', () => {
  const image = (subchart: string): string => `a:
  registry: { location: values, path: image.registry, subchart: ${subchart} }
  repository: { location: values, path: image.repository, subchart: ${subchart} }
  tag: { location: chart, path: appVersion, subchart: ${subchart} }`;
  const subchart = { values: 'image: { registry: quay.io, repository: sub/a }', appVersion: '2.0' };

  it("reads the subchart's own values and Chart.yaml", async () => {
    const result = await planImages(image('sub'), { values: '{}', appVersion: '1.0', subcharts: { sub: subchart } });
    expect(values(result)).toEqual({ sub: { image: { registry: `${prefix}quay.io`, repository: 'sub/a' } } });
    expect(targets(result)).toEqual([`${prefix}quay.io/sub/a:2.0`]);
  });

  it('lets the parent win', async () => {
    const result = await planImages(image('sub'), {
      values: 'sub: { image: { registry: ghcr.io } }',
      subcharts: { sub: subchart },
    });
    expect(targets(result)).toEqual([`${prefix}ghcr.io/sub/a:2.0`]);
  });

  it.each(['agent', 'alias'])('knows an aliased one as %s, and writes to the alias', async (name) => {
    const result = await planImages(image(name), {
      values: 'alias: { image: { repository: sub/b } }',
      subcharts: { alias: { ...subchart, name: 'agent' } },
    });
    expect(messages(result)).toEqual([]);
    expect(values(result)).toEqual({ alias: { image: { registry: `${prefix}quay.io`, repository: 'sub/b' } } });
  });

  it('can be reached by a path from the parent, too', async () => {
    const result = await planImages('a: { repository: { location: values, path: sub.image.repository } }', {
      values: '{}',
      subcharts: { sub: subchart },
    });
    expect(values(result)).toEqual({ sub: { image: { repository: `${prefix}sub/a` } } });
  });

  it('asks for the alias where a name has several', async () => {
    const result = await planImages('a: { repository: { location: values, path: r, subchart: agent } }', {
      values: '{}',
      subcharts: { one: { values: 'r: a', name: 'agent' }, two: { values: 'r: b', name: 'agent' } },
    });
    expect(messages(result)[0]).toContain('there is no subchart "agent" (it has one, two');
  });
});

describe('problems', () => {
  it('names every one of all charts: file, line, chart, version, image, field, path and the nearest path', async () => {
    const files = `charts:
  first:
    name: first
    repository: https://charts.example.com/stable
    version: 1.0.0
    images:
      main:
        registry: { location: values, path: imag.registry }
        repository: { location: values, path: image.name }
        tag: { location: chart, path: appversion }
      good: { repository: { location: values, path: image.good } }
  second:
    name: second
    repository: https://charts.example.com/stable
    version: 2.0.0
    images:
      main: { repository: { location: values, path: image } }
      list: { repository: { location: values, path: list.0.image } }
      sub: { repository: { location: values, path: image, subchart: sup } }
`;
    const content = 'image: { registry: quay.io, repository: a, good: quay.io/good:1 }\nlist: [{ image: a }]';
    const result = await plan(files, (name) => chart({ values: content, subcharts: { sub: { values: '{}' } } }, name));
    expect(messages(result)).toEqual([
      'default.yaml:8: charts.first.images.main.registry: path "imag.registry" does not exist in the values of first 1.0.0 (nearest: "image.registry") [chart first, image main, registry]',
      'default.yaml:9: charts.first.images.main.repository: path "image.name" does not exist in the values of first 1.0.0 (nearest: "image.good") [chart first, image main, repository]',
      'default.yaml:10: charts.first.images.main.tag: path "appversion" is nothing in Chart.yaml of first 1.0.0 [chart first, image main, tag]',
      'default.yaml:17: charts.second.images.main.repository: path "image" is a map, not text, in the values of second 1.0.0 (nearest: "image.repository") [chart second, image main, repository]',
      'default.yaml:18: charts.second.images.list.repository: path "list.0.image" leads into a list, which overrides cannot change, in the values of second 1.0.0 (nearest: "image") [chart second, image list, repository]',
      'default.yaml:19: charts.second.images.sub.repository: there is no subchart "sup" (it has sub (nearest: "sub")) in second 1.0.0 [chart second, image sub, repository]',
    ]);
    for (const problem of result.problems) {
      expect(problem.code).toBe('configuration');
      expect(problem.remedy).toBeDefined();
    }
    expect(targets(result)).toEqual([`${prefix}quay.io/good:1`]);
  });

  it('refuses what is no reference, no text, and no name for ECR', async () => {
    const result = await planImages(
      `a: { repository: { location: values, path: a }, tag: { name: v1 } }
b: { repository: { location: values, path: b } }
c: { repository: { location: values, path: c } }
d: { repository: { location: values, path: d } }
e: { repository: { location: values, path: e } }`,
      { values: `a: quay.io/a:v1\nb: true\nc: Team/c\nd: ~\ne: quay.io/${'e'.repeat(250)}` },
    );
    expect(messages(result)).toEqual([
      expect.stringContaining('"quay.io/a:v1:v1" is not an image reference'),
      expect.stringContaining('path "b" is the boolean true, not text'),
      expect.stringContaining('path "d" is empty in the values of demo 1.0.0'),
      expect.stringContaining('no repository name for ECR: it has upper-case letters'),
      expect.stringContaining('it has 263 characters, 256 are allowed'),
    ]);
    expect(result.problems[2]?.remedy).toContain('charts.demo.replication.d.repository');
  });

  it('finds two images that set one value differently', async () => {
    const shared = (repository: string): string =>
      `registry: { location: values, path: registry }, repository: { name: ${repository} }`;
    const result = await planImages(
      `a: { ${shared('a')} }\nb: { ${shared('b')} }\nc: { ${shared('c')} }`,
      { values: 'registry: quay.io' },
      'charts: { demo: { replication: { c: { registry: ghcr.io } } } }',
    );
    expect(messages(result)).toEqual([
      expect.stringContaining(`"registry" would be both "${prefix}quay.io" (for image a) and "${prefix}ghcr.io"`),
    ]);
  });

  it('keeps on with the other charts when one cannot be read', async () => {
    const second = oneChart.replace('charts:\n', '').replaceAll('demo', 'other');
    const result = await plan(`${oneChart}${second}`, (name) => {
      if (name === 'demo')
        throw new ReplicationError('not-found', 'charts.example.com has no demo 1.0.0', { host: 'charts.example.com' });
      return chart({ values: '{}' }, name);
    });
    expect(messages(result)).toEqual(['default.yaml:2: charts.demo: charts.example.com has no demo 1.0.0']);
    expect(result.problems[0]).toMatchObject({ code: 'not-found', host: 'charts.example.com' });
    expect(Object.keys(result.result.charts)).toEqual(['other']);
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const planning = planEks(dataFiles(oneChart, '{}'), {
      prefix,
      platforms: 'all',
      signal: controller.signal,
      readChart: async () => {
        controller.abort();
        return chart({ values: '{}' });
      },
    });
    await expect(planning).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('the plan', () => {
  const extra = (images: Readonly<Record<string, string>>, rest = ''): string =>
    `additional_images: ${JSON.stringify(images)}\n${rest}`;

  it('maps sources by exact host and default, never targets', async () => {
    const result = await plan(
      oneChart,
      { values: '{}' },
      extra(
        {
          a: 'quay.io/team/a:1',
          b: 'nginx',
          c: 'bitnami/redis:7.0',
          d: `quay.io/d@${digest}`,
          e: 'other.example:5000/e:1',
          f: `docker.io/f:1@${digest}`,
          g: 'quay.io/g',
        },
        'docker_mappings: { quay.io: "mirror.example:8443/quay", default: mirror.example/hub, "other.example:5000": x.example }\n',
      ),
    );
    expect(result.updatedImages).toEqual([
      { src: 'mirror.example:8443/quay/team/a:1', target: `${prefix}quay.io/team/a:1` },
      { src: 'mirror.example/hub/nginx:latest', target: `${prefix}nginx` },
      { src: 'mirror.example/hub/bitnami/redis:7.0', target: `${prefix}bitnami/redis:7.0` },
      { src: `mirror.example:8443/quay/d@${digest}`, target: `${prefix}quay.io/d@${digest}` },
      { src: 'x.example/e:1', target: `${prefix}other.example-5000/e:1` },
      { src: `docker.io/f:1@${digest}`, target: `${prefix}docker.io/f:1@${digest}` },
      { src: 'mirror.example:8443/quay/g:latest', target: `${prefix}quay.io/g` },
    ]);
    expect(result.result.additional_images).toMatchObject({ a: `${prefix}quay.io/team/a:1`, b: `${prefix}nginx` });
  });

  it('lists every pair once, additional images first, and one image for one source', async () => {
    const result = await planImages(
      'a: { repository: { location: values, path: a } }\nb: { repository: { location: values, path: b } }',
      { values: 'a: nginx:1\nb: docker.io/library/nginx:1' },
      extra({ x: 'quay.io/x:1', a: 'nginx:1' }),
    );
    expect(targets(result)).toEqual([`${prefix}quay.io/x:1`, `${prefix}nginx:1`, `${prefix}docker.io/library/nginx:1`]);
    expect(result.plan.images).toEqual([
      {
        kind: 'image',
        source: 'docker.io/library/nginx:1',
        platforms: 'all',
        targets: [`${prefix}docker.io/library/nginx:1`, `${prefix}nginx:1`],
        origins: [
          { path: 'additional_images.a', file: '1.34.yaml', line: 1 },
          { path: 'charts.demo.images.a', file: 'default.yaml', line: 7 },
          { path: 'charts.demo.images.b', file: 'default.yaml', line: 8 },
        ],
      },
      expect.objectContaining({ source: 'quay.io/x:1' }),
    ]);
    expect(Plan.parse(result.plan)).toEqual(result.plan);
  });

  it('is the same for the same input, whatever charts are read first', async () => {
    const names = ['c', 'a', 'b'];
    const files = `charts:\n${names.map((name) => `  ${name}: { name: ${name}, repository: https://x.example/y, version: 1.0.0, images: { i: { repository: { location: values, path: r } } } }`).join('\n')}\n`;
    const read = (delays: Readonly<Record<string, number>>) => async (name: string) => {
      await new Promise((resolve) => setTimeout(resolve, delays[name]));
      return chart({ values: `r: quay.io/${name}:1` }, name);
    };
    const first = await plan(files, read({ a: 1, b: 10, c: 20 }));
    const second = await plan(files, read({ a: 20, b: 1, c: 5 }));
    expect(JSON.stringify(second)).toBe(JSON.stringify(first));
    expect(Object.keys(first.result.charts)).toEqual(names);
    expect(first.plan.charts.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
  });

  it('names charts as the EKS module expects, with the version that was found', async () => {
    const result = await plan(oneChart.replace('1.0.0', '^1.0.0'), { values: '{}', version: '1.4.2+build.5' });
    expect(result.result.charts['demo']).toEqual({
      helm: {
        name: 'demo',
        version: '1.4.2+build.5',
        repository: `oci://${prefix}stable/demo`,
        srcRepository: 'https://charts.example.com/stable/',
      },
      values: {},
    });
    expect(result.plan.charts[0]).toMatchObject({
      target: `${prefix}stable/demo:1.4.2_build.5`,
      version: '1.4.2+build.5',
    });
  });

  it("uses the data files' platforms where they name some", async () => {
    const files = `${oneChart}    platforms: [linux/arm64]\n    images: { a: { repository: { name: quay.io/a } }, b: { repository: { name: quay.io/b } } }\n`;
    const result = await plan(files, { values: '{}' }, extra({ b: 'quay.io/b', c: `quay.io/c@${digest}` }), [
      'linux/amd64',
    ]);
    expect(result.plan.images.map(({ source, platforms }) => [source, platforms])).toEqual([
      ['quay.io/a', ['linux/arm64']],
      ['quay.io/b', ['linux/amd64', 'linux/arm64']],
      [`quay.io/c@${digest}`, ['linux/amd64']],
    ]);
    expect(result.notices).toEqual([expect.stringContaining('pinned by digest')]);
  });

  it.each([
    ['registry.example:5000/a:1', 'registry.example-5000/a:1', true],
    [`quay.io/a:1@${digest}`, `quay.io/a:1@${otherDigest}`, true],
    [`quay.io/a:1@${digest}`, 'quay.io/a:1', false],
    ['quay.io/a', 'quay.io/a:latest', false],
    ['nginx', 'library/nginx', false],
    [`quay.io/a@${digest}`, `quay.io/a@${otherDigest}`, false],
  ])('with %s and %s: a collision is reported: %s', async (a, b, collide) => {
    const result = await plan(oneChart, { values: '{}' }, extra({ a, b }));
    expect(result.problems).toHaveLength(collide ? 1 : 0);
    if (!collide) return;
    expect(messages(result)[0]).toContain(`image ${a} (1.34.yaml:1: additional_images.a)`);
    expect(messages(result)[0]).toContain(`image ${b} (1.34.yaml:1: additional_images.b)`);
  });

  it('reports an image on the tag of a chart, and charts of one name from different places', async () => {
    const second = `  other: { name: demo, repository: https://elsewhere.example/stable, version: 1.0.0 }\n`;
    const result = await plan(`${oneChart}${second}`, { values: '{}' });
    expect(messages(result)).toEqual([expect.stringContaining(`would both become ${prefix}stable/demo:1.0.0`)]);
    const image = await plan(oneChart, { values: '{}' }, extra({ a: 'stable/demo:1.0.0', b: 'stable/demo:2' }));
    expect(messages(image)).toEqual([expect.stringContaining('image stable/demo:1.0.0')]);
  });
});
