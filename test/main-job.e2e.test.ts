import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { ownerTagKey } from '../src/aws/owner-tag.ts';
import { digestOf } from '../src/model/digest.ts';
import { ChartIsolation } from '../src/model/isolation.ts';
import type { Plan } from '../src/model/plan.ts';
import { locate, parseReference } from '../src/model/reference.ts';
import { splitTarget } from '../src/model/target-name.ts';
import { buildImage } from '../src/testing/image-builder.ts';
import { bucketName, objectName } from '../src/publish/names.ts';
import { onceUnlessRetried } from './story.ts';
import { describeWith, root } from './tools.ts';
import { haveRealCharts, neededValues, realCharts } from './world/charts.ts';
import { account } from './world/place.ts';
import { renderedImages } from './world/rendered.ts';
import { blobReads, forget, writes } from './world/requests.ts';
import { type EksRun, kinds, readResult, type Result, said, UpdatedImages } from './world/run.ts';
import { type TargetTools, targetTools } from './world/target-tools.ts';
import { project, startWorld, type World } from './world/world.ts';

// The main job on real input: the data files that come with the module, the real charts they name under their real URLs,
// real helm and skopeo. Only the images' bytes are made up. Without the charts the project's own stand in.
const content = haveRealCharts ? 'real' : 'sample';
if (content === 'sample') {
  process.stderr.write(`\nNOTE main job: there is no ${realCharts}, so the project's sample charts stand in\n`);
}
const versions =
  content === 'real' ? { newest: '1.34', older: ['1.33', '1.32', '1.31', '1.30'] } : { newest: '1.0', older: [] };
async function readIsolation(run: EksRun): Promise<readonly ChartIsolation[]> {
  return ChartIsolation.array().parse(JSON.parse(await readFile(join(run.out, 'isolation.json'), 'utf8')));
}

/** Data files with names, repositories and versions of the charts alone. Gives the arguments to use them. */
async function withoutDeclaredImages(world: World, version: string): Promise<readonly string[]> {
  const folder = join(world.folder, 'bare');
  await mkdir(folder, { recursive: true });
  const from = world.dataDir ?? join(root, 'data/eks_dockerimage-replication/versions');
  for (const name of [`default.yaml`, `${version}.yaml`]) {
    const file = Bare.parse(parse(await readFile(join(from, name), 'utf8')));
    for (const chart of Object.values(file.charts)) {
      if (chart === null) continue;
      // What `remove` takes away are digests that no made-up image has.
      const empty = Object.values(chart.images ?? {}).flatMap(({ remove }) =>
        remove === undefined ? [] : [remove.path],
      );
      for (const path of empty) chart['values'] = withEmpty(chart['values'], path.split('.'));
      for (const key of ['images', 'subcharts', 'replication']) Reflect.deleteProperty(chart, key);
    }
    await writeFile(join(folder, name), stringify(file));
  }
  return ['--data-dir', folder];
}

function withEmpty(values: unknown, [key = '', ...rest]: readonly string[]): unknown {
  const map = z.record(z.string(), z.unknown()).parse(values ?? {});
  return { ...map, [key]: rest.length === 0 ? '' : withEmpty(map[key], rest) };
}

const Bare = z.looseObject({
  charts: z.record(
    z.string(),
    z
      .looseObject({
        images: z.record(z.string(), z.looseObject({ remove: z.object({ path: z.string() }).optional() })).optional(),
      })
      .nullable(),
  ),
});

/** Written into a template: no value moves them (README-DATAFILES.md, "Not covered"). */
const uncovered = [/^gcr\.io\/k8s-staging-test-infra\/kubekins-e2e:/, /^registry\.example\.com\/helper\/shell:/];

const VersionFile = (version: string): { charts: Record<string, { version: string }>; ami: unknown } =>
  // Our own file, whose schema other tests check.
  parse(readFileSync(join(root, `data/eks_dockerimage-replication/versions/${version}.yaml`), 'utf8')) as never;

describeWith(['helm3', 'helm4', 'skopeo'], 'the main job with the charts of the data files', () => {
  let world: World;
  let tools: TargetTools;
  let plan: Plan;
  let first: EksRun;
  let result: Result;
  const prefix = (): string => `${world.names.registry}/${project}-`;

  onceUnlessRetried(make, () => world.close());
  async function make(): Promise<void> {
    world = await startWorld({ content });
    tools = await targetTools(world);
    plan = await world.fillFromPlan({ version: versions.newest });
    forget(world);
    first = await world.eks({ version: versions.newest });
    result = await readResult(first);
  }

  it('ends well, with everything copied', () => {
    expect(first.status, said(first)).toBe(0);
    expect(kinds(first)).toEqual({ copied: plan.images.length + plan.charts.length });
    expect(first.record?.failures).toEqual([]);
  });

  it('names the registries that it reads from, and what no value moves', () => {
    const sources = /^planned: .* from (.*)$/m.exec(first.stdout)?.[1]?.split(', ') ?? [];
    const hosts = [...world.registries.keys(), ...Object.values(result.charts).map(({ helm }) => helm.srcRepository)];
    // A long list is shortened.
    const shown = sources.filter((source) => !source.startsWith('…'));
    expect(shown.length).toBeGreaterThan(3);
    expect(hosts).toEqual(expect.arrayContaining(shown));
    const notices = first.record?.notices.map(({ message }) => message) ?? [];
    expect(notices.filter((message) => message.includes('was not checked'))).toEqual([]);
    const gaps = notices.flatMap((message) => / still pulls (\S+) /.exec(message)?.slice(1) ?? []);
    expect(gaps).toHaveLength(1);
    expect(uncovered.some((pattern) => pattern.test(gaps[0] ?? ''))).toBe(true);
  });

  it('proves of every chart that the cluster needs no other registry for it, save for what is documented', async () => {
    const isolation = await readIsolation(first);
    expect(isolation.map(({ key }) => key)).toEqual(Object.keys(result.charts).sort());
    for (const { key, holds, problems, profiles, references } of isolation) {
      expect({ key, holds, problems }).toEqual({ key, holds: true, problems: [] });
      expect(profiles.length, key).toBeGreaterThan(0);
      // A proof of nothing would hold as well.
      expect(references.length, key).toBeGreaterThan(0);
    }
    const references = isolation.flatMap((chart) => chart.references);
    const open = references.filter(({ proof }) => proof !== 'proven');
    expect(
      open.map(({ outcome, reference }) => [outcome, uncovered.some((pattern) => pattern.test(reference))]),
    ).toEqual([['uncontrolled', true]]);
    const metadata: unknown = JSON.parse(readFileSync(join(first.out, 'metadata.json'), 'utf8'));
    expect(metadata).toMatchObject({ IsolationGap: '1' });
    const renders = isolation.reduce((sum, chart) => sum + chart.renders, 0);
    expect(renders / isolation.length).toBeLessThanOrEqual(12);
  });

  it('writes the result in the shape and with the names that the EKS module looks up', () => {
    for (const [key, { helm }] of Object.entries(result.charts)) {
      const source = helm.srcRepository.replace(/\/$/, '');
      expect(world.charts.has(source), source).toBe(true);
      expect(helm.repository).toBe(`oci://${prefix()}${source.slice(source.lastIndexOf('/') + 1)}/${helm.name}`);
      if (content === 'real') expect(helm.version).toBe(VersionFile(versions.newest).charts[key]?.version);
    }
    if (content === 'sample') return;
    const { charts, ami } = VersionFile(versions.newest);
    expect(result.ami).toEqual(ami);
    expect(Object.keys(result.charts).sort()).toEqual(Object.keys(charts).sort());
    expect(result.additional_images['cloudwatch_agent']).toBe(
      `${prefix()}public.ecr.aws/cloudwatch-agent/cloudwatch-agent:1.300041.0b681`,
    );
  });

  it('lists every image with its source and target', () => {
    const file = readFileSync(join(first.out, 'updated_images.json'), 'utf8');
    const list = UpdatedImages.parse(JSON.parse(file));
    // A digest that a chart pins beside a declared tag is copied by its digest alone.
    for (const { src, target } of list)
      expect([src, src.replace(/:[^/:@]+@/, '@')].map((name) => prefix() + name)).toContain(target);
    expect(new Set(list.map(({ target }) => target))).toEqual(new Set(plan.images.flatMap(({ targets }) => targets)));
  });

  it('publishes exactly the result, and says where', () => {
    const bucket = bucketName(project, world.place.region, account);
    const object = objectName('dev', 'platform-replication');
    const stored = world.s3.buckets.get(bucket)?.versions.find(({ key }) => key === object);
    expect(stored?.body).toBe(readFileSync(join(first.out, 'replication_result.json'), 'utf8'));
    expect(Buffer.byteLength(stored?.body ?? '')).toBeLessThan(100 * 1024);
    const lock = readFileSync(join(first.out, 'replication.lock.json'), 'utf8');
    expect(result.lock).toEqual({ s3_object: object.replace('.json', '.lock.json'), digest: digestOf(lock) });
    const metadata: unknown = JSON.parse(readFileSync(join(first.out, 'metadata.json'), 'utf8'));
    expect(metadata).toMatchObject({
      S3Bucket: bucket,
      S3Object: object,
      S3FullPath: `${bucket}/${object}`,
      s3_bucket: bucket,
      s3_object: object,
      s3_full_path: `${bucket}/${object}`,
    });
  });

  it('copies each image whole, under the digest it has at its source', () => {
    for (const { source, targets } of plan.images) {
      const from = locate(parseReference(source));
      const wanted = world.registries.get(from.registry)?.manifest(from.repository, from.reference);
      for (const target of targets) {
        const { repository, tag, digest } = splitTarget(target);
        const there = world.ecr.manifest(repository, tag ?? digest ?? 'latest');
        expect(there?.descriptor.digest, target).toBe(wanted?.descriptor.digest);
      }
    }
  });

  it('puts its owner on every repository', () => {
    for (const name of world.ecr.repositories()) {
      const tags = world.ecr.repository(name)?.resourceTags;
      expect(tags?.get(ownerTagKey('dev', 'platform-replication')), name).toBe(project);
    }
  });

  /** Renders every chart from the target, and checks that each reference names something that is there. */
  async function expectIsolated(helm: 'helm3' | 'helm4', charts: Result['charts'], kubernetes: string): Promise<void> {
    const limit = pLimit(2);
    const outside: string[] = [];
    const folder = join(world.folder, `values-${helm}-${kubernetes}`);
    await mkdir(folder, { recursive: true });
    const check = async (key: string, { helm: chart, values }: Result['charts'][string]): Promise<number> => {
      const file = join(folder, `${key}.json`);
      await writeFile(file, JSON.stringify(values));
      const needed = neededValues(chart.name);
      const more = needed === undefined ? [] : ['--values', needed];
      const where = ['--namespace', 'ns1', '--kube-version', kubernetes];
      const address = [chart.repository, '--version', chart.version];
      const rendered = await tools.helm(helm, 'template', 'x', ...address, ...where, ...more, '--values', file);
      const images = renderedImages(rendered);
      outside.push(...images.filter((image) => !isAtTarget(image)).map((image) => `${key}: ${image}`));
      return images.length;
    };
    const counts = await Promise.all(Object.entries(charts).map(([key, chart]) => limit(() => check(key, chart))));
    expect(outside).toEqual([]);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  }

  function isAtTarget(image: string): boolean {
    if (uncovered.some((pattern) => pattern.test(image))) return true;
    if (!image.startsWith(prefix())) return false;
    const { repository, tag, digest } = splitTarget(image);
    return world.ecr.manifest(repository, digest ?? tag ?? 'latest') !== undefined;
  }

  it.each(['helm3', 'helm4'] as const)('leaves charts that %s pulls from the target and renders isolated', (helm) =>
    expectIsolated(helm, result.charts, content === 'real' ? '1.34.0' : '1.30.0'),
  );

  it('leaves images that skopeo reads with all their platforms', async () => {
    const interesting = plan.images.filter(({ targets }) => {
      const { repository, tag } = splitTarget(targets[0] ?? '');
      return /index|list/.test(world.ecr.manifest(repository, tag ?? '')?.descriptor.mediaType ?? '');
    });
    expect(interesting.length).toBeGreaterThan(2);
    for (const { targets } of interesting.slice(0, 3)) {
      const folder = join(world.folder, 'skopeo', String(interesting.findIndex((each) => each.targets === targets)));
      await mkdir(folder, { recursive: true });
      await tools.skopeo('copy', '--all', '--quiet', `docker://${targets[0] ?? ''}`, `dir:${folder}`);
      const { repository, tag } = splitTarget(targets[0] ?? '');
      const index = world.ecr.manifest(repository, tag ?? '');
      expect(readFileSync(join(folder, 'manifest.json')).equals(index?.bytes ?? Buffer.alloc(0))).toBe(true);
      expect((await readdir(folder)).length).toBeGreaterThan(4);
    }
  });

  it('copies nothing when it runs again', async () => {
    forget(world);
    const again = await world.eks({ version: versions.newest });
    expect(again.status, said(again)).toBe(0);
    expect(kinds(again)).toEqual({ unchanged: plan.images.length + plan.charts.length });
    expect(writes(world.ecr)).toEqual([]);
    expect(blobReads(world)).toBe(0);
    // Its lock included, by digest: some of the charts make names and certificates at random.
    expect(await readResult(again)).toEqual(result);
  });

  it('copies just the image whose tag has moved', async () => {
    forget(world);
    const image = plan.images.find(({ source }) => source.startsWith(content === 'real' ? 'quay.io/' : 'registry.'));
    const from = locate(parseReference(image?.source ?? ''));
    const moved = buildImage({ name: 'moved', attestations: true });
    await world.registries.get(from.registry)?.putImage(from.repository, from.reference, moved);
    const run = await world.eks({ version: versions.newest });
    expect(run.status, said(run)).toBe(0);
    expect(kinds(run)).toEqual({ copied: 1, unchanged: plan.images.length + plan.charts.length - 1 });
    const { repository, tag } = splitTarget(image?.targets[0] ?? '');
    expect(world.ecr.manifest(repository, tag ?? '')?.descriptor.digest).toBe(moved.digest);
    const touched = new Set(writes(world.ecr).map((line) => line.split(' ')[1]));
    expect(touched).toEqual(new Set(image?.targets.map((target) => splitTarget(target).repository)));
  });

  it.runIf(content === 'real').each(versions.older)(
    'does the same for EKS %s, beside what is there',
    async (version) => {
      const before = world.ecr.repositories().length;
      // All but one chart of the newer ones are those of the newest, and declared images are all that they have.
      const older = await world.fillFromPlan({
        version,
        args: version === versions.older.at(-1) ? [] : ['--no-render'],
      });
      const run = await world.eks({ version, env: { SEEDFARMER_DEPLOYMENT_NAME: 'old' } });
      expect(run.status, said(run)).toBe(0);
      expect(kinds(run)['copied'] ?? 0).toBeLessThan(older.images.length);
      const isolation = await readIsolation(run);
      expect(isolation.map(({ key }) => key)).toEqual(Object.keys(VersionFile(version).charts).sort());
      expect(isolation.filter(({ holds, profiles }) => !holds || profiles.length === 0)).toEqual([]);
      const open = isolation.flatMap((chart) => chart.references.filter(({ proof }) => proof !== 'proven'));
      expect(open.filter(({ reference }) => !uncovered.some((pattern) => pattern.test(reference)))).toEqual([]);
      if (version !== versions.older.at(-1)) return;
      expect(world.ecr.repositories().length).toBeGreaterThan(before);
      await expectIsolated('helm4', (await readResult(run)).charts, `${version}.0`);
    },
  );

  it('finds and proves the same when no image is declared at all', async () => {
    const bare = await withoutDeclaredImages(world, versions.newest);
    await world.fillFromPlan({ version: versions.newest, args: bare });
    const run = await world.eks({ version: versions.newest, args: bare, publish: false });
    expect(run.status, said(run)).toBe(0);
    const isolation = await readIsolation(run);
    expect(isolation.filter(({ holds }) => !holds)).toEqual([]);
    const counts = (charts: readonly ChartIsolation[]): unknown =>
      charts.map(({ key, references }) => [key, references.length]);
    expect(counts(isolation)).toEqual(counts(await readIsolation(first)));
    await expectIsolated('helm4', (await readResult(run)).charts, content === 'real' ? '1.34.0' : '1.30.0');
  });
});
