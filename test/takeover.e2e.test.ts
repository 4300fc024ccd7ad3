import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownerTagKey } from '../src/aws/owner-tag.ts';
import type { Plan } from '../src/model/plan.ts';
import { locate, parseReference } from '../src/model/reference.ts';
import { splitTarget } from '../src/model/target-name.ts';
import { buildImage } from '../src/testing/image-builder.ts';
import type { ChartPackage } from '../src/testing/chart-server.ts';
import { packageChart } from '../src/testing/sample-charts.ts';
import { sampleCharts } from '../src/testing/samples.ts';
import { describeWith } from './tools.ts';
import { forget, writes } from './world/requests.ts';
import { type EksRun, kinds, said } from './world/run.ts';
import { targetTools } from './world/target-tools.ts';
import { startWorld, type World } from './world/world.ts';

// Rendering is no matter here.
const quick = ['--no-render'];

/** Another chart under the name and version of the sample chart `worker`. */
function changedWorker(): ChartPackage {
  const values = { image: { repository: 'sample/worker', tag: '5.1' }, changed: 'since' };
  return packageChart({ name: 'worker', version: '5.1.3', values });
}

/**
 * Fills the target as the original module does: repositories without tags, one platform of each image under the image's
 * tag (docker pull, tag, push), charts by `helm push`.
 */
async function fillAsOriginal(world: World, plan: Plan): Promise<void> {
  const tools = await targetTools(world);
  for (const { source, targets } of plan.images) {
    const { repository, tag } = splitTarget(targets[0] ?? '');
    world.ecr.createRepository(repository);
    const platforms = ['linux/amd64'];
    const single = buildImage({ name: source.replace(/\W+/g, '-'), format: 'docker', platforms, index: false });
    await world.ecr.putImage(repository, tag, single);
  }
  const folder = await mkdtemp(join(world.folder, 'charts-'));
  for (const { target, name, version } of plan.charts) {
    const { repository } = splitTarget(target);
    world.ecr.createRepository(repository);
    const made =
      name === 'worker' ? changedWorker() : sampleCharts().find(({ file }) => file === `${name}-${version}.tgz`);
    const file = join(folder, `${name}-${version}.tgz`);
    await writeFile(file, made?.bytes ?? '');
    await tools.helm('helm3', 'push', file, `oci://${world.names.registry}/${repository.replace(/\/[^/]+$/, '')}`);
  }
}

describeWith(['helm3'], 'a registry that the original module filled', () => {
  let world: World;
  let plan: Plan;
  let run: EksRun;
  const chartsBefore = new Map<string, string | undefined>();
  const digestAt = (target: string): string | undefined => {
    const { repository, tag } = splitTarget(target);
    return world.ecr.manifest(repository, tag ?? '')?.descriptor.digest;
  };

  beforeAll(async () => {
    world = await startWorld({ content: 'sample' });
    plan = await world.fillFromPlan({ args: quick });
    await fillAsOriginal(world, plan);
    for (const { name, target } of plan.charts) chartsBefore.set(name, digestAt(target));
    forget(world);
    run = await world.eks({ args: quick });
  });
  afterAll(() => world.close());

  it('is taken over by the first apply', () => {
    expect(run.status, said(run)).toBe(0);
    expect(kinds(run)).toEqual({ copied: plan.images.length + 1, unchanged: plan.charts.length - 1 });
  });

  it('gets the whole images under the tags that are there', () => {
    for (const { source, targets } of plan.images) {
      const from = locate(parseReference(source));
      const wanted = world.registries.get(from.registry)?.manifest(from.repository, from.reference);
      for (const target of targets) expect(digestAt(target), target).toBe(wanted?.descriptor.digest);
    }
  });

  it('gets an owner on each repository', () => {
    for (const name of world.ecr.repositories())
      expect([...(world.ecr.repository(name)?.resourceTags ?? [])], name).toEqual([
        [ownerTagKey('dev', 'platform-replication'), 'app'],
      ]);
  });

  it('keeps charts of the same content as they are, whatever their manifests say, and gets the others', () => {
    const touched = writes(world.ecr).filter((line) => line.includes('app-sample-charts/'));
    expect(new Set(touched.map((line) => line.split(' ')[1]))).toEqual(new Set(['app-sample-charts/worker']));
    for (const { name, target } of plan.charts) {
      if (name === 'worker') expect(digestAt(target)).not.toBe(chartsBefore.get(name));
      else expect(digestAt(target), name).toBe(chartsBefore.get(name));
    }
  });
});

describe('repositories with immutable tags', () => {
  let world: World;
  const immutable = { args: quick, env: { SEEDFARMER_PARAMETER_IMMUTABLE_TAGS: 'true' } };
  beforeAll(async () => {
    world = await startWorld({ content: 'sample' });
  });
  afterAll(() => world.close());

  it('are no obstacle where the content is the same', async () => {
    const first = await world.eks(immutable);
    expect(first.status, said(first)).toBe(0);
    const settings = world.ecr.repository('app-registry.example.com/team/web')?.settings;
    expect(settings?.imageTagMutability).toBe('IMMUTABLE');
    forget(world);
    const again = await world.eks(immutable);
    expect(again.status, said(again)).toBe(0);
    expect(writes(world.ecr)).toEqual([]);
  });

  it('make a conflict that is told where it differs, while the rest is copied', async () => {
    const agent = ['app-registry.example.com/team/agent', 'v2.3.4'] as const;
    const before = world.ecr.manifest(...agent)?.descriptor.digest;
    const registry = await world.registry('registry.example.com');
    await registry.putImage('team/agent', 'v2.3.4', buildImage({ name: 'moved' }));
    for (const server of world.charts.values()) await server.add(changedWorker());
    world.ecr.deleteTag('app-registry.example.com/team/init', '1.0');
    const run = await world.eks(immutable);
    expect(run.status, said(run)).toBe(1);
    const conflict = { side: 'target', code: 'conflict', remedy: expect.any(String) as string };
    const failures = [...(run.record?.failures ?? [])].sort((a, b) => (a.artifact < b.artifact ? -1 : 1));
    expect(failures).toMatchObject([
      { ...conflict, artifact: 'chart worker 5.1.3' },
      { ...conflict, artifact: 'registry.example.com/team/agent:v2.3.4' },
    ]);
    expect(world.ecr.manifest(...agent)?.descriptor.digest).toBe(before);
    expect(world.ecr.manifest('app-registry.example.com/team/init', '1.0')).toBeDefined();
  });
});
