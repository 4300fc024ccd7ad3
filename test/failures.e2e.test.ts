import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { isOwnerTag } from '../src/aws/owner-tag.ts';
import { story } from './story.ts';
import { account } from './world/place.ts';
import { blobReads, completedUploads, forget, writes } from './world/requests.ts';
import { type EksRun, kinds, said } from './world/run.ts';
import { sampleChartUrl, startWorld, type World } from './world/world.ts';

// Rendering is no matter here.
const quick = ['--no-render'];

// What fails is told with side, reference, cause and remedy; the rest is copied; nothing is published; the next run goes on.
describe('a run in which things fail', () => {
  let world: World;
  let versionFile: string;
  let good: string;
  let failed: EksRun;
  const open = 'registry.example.com';
  const s3Writes = (): readonly string[] => world.s3.requests.filter((line) => /^(?:PUT|POST|DELETE)/.test(line));

  const part = story(
    async () => {
      world = await startWorld({ content: 'sample' });
      versionFile = join(world.dataDir ?? '', '1.0.yaml');
      good = await readFile(versionFile, 'utf8');
      await writeFile(versionFile, good.replace(/^( +)gateway: \{\}$/m, '$1gateway: { version: 9.9.9 }'));
      const registry = await world.registry(open);
      registry.fail({ repository: 'team/agent', path: /\/manifests\//, times: 'always', fault: denied });
      world.charts
        .get(sampleChartUrl)
        ?.fail({ reference: 'web-1.2.0.tgz', times: 'always', fault: { kind: 'corrupt', offset: 100 } });
      const target = `app-${open}/team/installer`;
      world.ecr.fail({ class: 'manifest-put', repository: target, times: 'always', fault: denied });
      failed = await world.eks({ args: quick });
    },
    () => world.close(),
  );

  const denied = {
    kind: 'status',
    status: 403,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ errors: [{ code: 'DENIED', message: 'requested access to the resource is denied' }] }),
  } as const;

  const failureOf = (pattern: RegExp) =>
    failed.record?.failures.find(({ artifact, cause }) => pattern.test(`${artifact} ${cause}`));

  part('exits with 1 and lists exactly what failed', () => {
    expect(failed.status, said(failed)).toBe(1);
    const artifacts = failed.record?.failures.map(({ artifact }) => artifact).sort();
    expect(artifacts).toHaveLength(4);
    expect(failed.stdout).toContain('FAILED with 4 failures');
  });

  part('tells of an image that its source does not give', () => {
    const failure = failureOf(/team\/agent/);
    expect(failure).toMatchObject({
      side: 'source',
      code: 'denied',
      host: open,
      artifact: `${open}/team/agent:v2.3.4`,
    });
    expect(failure?.cause).toContain('403');
    expect(failure?.remedy).toEqual(expect.any(String));
  });

  part('tells of a chart version that is not there, and which are', () => {
    const failure = failureOf(/gateway/);
    expect(failure).toMatchObject({ side: 'source', code: 'not-found' });
    expect(failure?.cause).toContain('1.0.yaml:');
    expect(`${failure?.cause ?? ''} ${failure?.remedy ?? ''}`).toContain('1.4.2');
  });

  part('tells of a chart whose bytes are not those of the index', () => {
    const failure = failureOf(/web/);
    expect(failure).toMatchObject({ side: 'source', code: 'corrupt', host: 'charts.example.com' });
    expect(failure?.cause).toContain('sha256:');
    expect(failure?.remedy).toEqual(expect.any(String));
  });

  part('tells of an image that the target does not take', () => {
    const failure = failureOf(/team\/installer/);
    expect(failure).toMatchObject({ side: 'target', code: 'denied', host: world.names.registry });
    expect(failure?.remedy).toEqual(expect.any(String));
  });

  part('says the same on the terminal', () => {
    for (const { cause, remedy = '' } of failed.record?.failures ?? []) {
      expect(failed.stdout).toContain(cause.split('\n')[0]);
      expect(failed.stdout).toContain(remedy);
    }
  });

  part('copies everything else, and gives no manifest to what did not arrive', () => {
    // Of 21 artifacts charts web and gateway could not be planned, nor the three images that only they name.
    expect(kinds(failed)).toEqual({ copied: 14, failed: 2 });
    expect(world.ecr.manifest(`app-${open}/team/node-tools`, '0.9')).toBeDefined();
    expect(world.ecr.manifest('app-sample-charts/platform', '3.0.0')).toBeDefined();
    expect(world.ecr.repository(`app-${open}/team/agent`)?.tags.size).toBe(0);
    expect(world.ecr.repository(`app-${open}/team/installer`)?.tags.size).toBe(0);
  });

  part('publishes nothing', () => {
    expect(existsSync(join(failed.out, 'metadata.json'))).toBe(false);
    expect(s3Writes()).toEqual([]);
  });

  part('goes on where it stopped once the faults are gone, and publishes then', async () => {
    const done = new Set(completedUploads(world.ecr));
    forget(world);
    await writeFile(versionFile, good);
    const run = await world.eks({ args: quick });
    expect(run.status, said(run)).toBe(0);
    expect(run.record?.failures).toEqual([]);
    expect(existsSync(join(run.out, 'metadata.json'))).toBe(true);
    expect(completedUploads(world.ecr).filter((upload) => done.has(upload))).toEqual([]);
    expect(kinds(run)['unchanged']).toBe(kinds(failed)['copied']);
    for (const name of world.ecr.repositories()) {
      const keys = [...(world.ecr.repository(name)?.resourceTags.keys() ?? [])];
      expect(keys.filter(isOwnerTag), name).toHaveLength(1);
    }
  });

  part('leaves the published result in force, whole, when a later run fails', async () => {
    const bucket = world.s3.buckets.get(`app-dkr-img-rep-md-eu-west-1-${account}`);
    const before = structuredClone(bucket?.versions);
    expect(before?.length).toBeGreaterThan(0);
    forget(world);
    const registry = await world.registry(open);
    registry.deleteTag('team/cache', '7.2.1');
    const run = await world.eks({ args: quick });
    expect(run.status, said(run)).toBe(1);
    expect(run.record?.failures).toMatchObject([{ side: 'source', code: 'not-found' }]);
    expect(bucket?.versions).toEqual(before);
    expect(s3Writes()).toEqual([]);
    expect(writes(world.ecr)).toEqual([]);
    expect(blobReads(world)).toBe(0);
    expect(existsSync(join(run.out, 'metadata.json'))).toBe(false);
  });
});
