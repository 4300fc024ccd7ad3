import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownerTagKey } from '../src/aws/owner-tag.ts';
import { buildImage } from '../src/testing/image-builder.ts';
import { syntheticLayer } from '../src/testing/image-layers.ts';
import { type RegistryServer, startRegistryServer } from '../src/testing/registry-server.ts';
import type { LoggedRequest } from '../src/testing/request-log.ts';
import { sampleImages } from '../src/testing/samples.ts';
import { signalOfTry } from './try-signal.ts';
import { account } from './world/place.ts';
import { completedUploads, forget } from './world/requests.ts';
import { kinds, readRun, said } from './world/run.ts';
import { startWorld, type World } from './world/world.ts';

// Rendering is no matter here.
const quick = ['--no-render'];

describe('two runs at once into one registry', () => {
  let world: World;
  beforeEach(async () => {
    world = await startWorld({ content: 'sample' });
  });
  afterEach(() => world.close());

  it('end well, both publish, and every repository has both owners', async () => {
    const deployments = ['dev', 'qa'];
    const runs = await Promise.all(
      deployments.map((name) => world.eks({ args: quick, env: { SEEDFARMER_DEPLOYMENT_NAME: name } })),
    );
    for (const run of runs) {
      expect(run.status, said(run)).toBe(0);
      const { copied = 0, unchanged = 0 } = kinds(run);
      expect(copied + unchanged).toBe(21);
    }
    for (const name of world.ecr.repositories()) {
      const tags = world.ecr.repository(name)?.resourceTags;
      for (const deployment of deployments)
        expect(tags?.get(ownerTagKey(deployment, 'platform-replication')), name).toBe('app');
    }
    for (const { host, repository, tag, image } of sampleImages()) {
      const source = repository.startsWith('sample/')
        ? ''
        : `${{ open: 'registry', private: 'vault' }[host]}.example.com/`;
      expect(world.ecr.manifest(`app-${source}${repository}`, tag)?.descriptor.digest).toBe(image.digest);
    }
    const keys = world.s3.buckets.get(`app-dkr-img-rep-md-eu-west-1-${account}`)?.versions.map(({ key }) => key);
    for (const name of deployments) expect(keys).toContain(`${name}-platform-replication-metadata.json`);
  });
});

// What a killed run has uploaded is there, though no manifest names it yet: the next run must not move it again.
describe.each(['ecr', 'plain'] as const)('after kill -9 in the middle, at a registry with manners "%s"', (manners) => {
  let world: World;
  const trySignal = signalOfTry();
  let mirror: RegistryServer;
  let args: readonly string[];

  beforeEach(async () => {
    world = await startWorld({ content: 'sample' });
    if (manners === 'ecr') {
      mirror = world.ecr;
      args = quick;
      return;
    }
    mirror = await startRegistryServer({
      manners,
      mounting: false,
      hostName: 'mirror.example.net',
      tls: await world.authority.issue(['mirror.example.net']),
    });
    world.proxy.route('mirror.example.net:443', mirror.host);
    args = [...quick, '--target', 'mirror.example.net/team'];
  });
  afterEach(async () => {
    if (manners === 'plain') await mirror.close();
    await world.close();
  });

  it('uploads no blob again that had arrived', async () => {
    const signal = trySignal();
    const registry = await world.registry('registry.example.com');
    const slow = await syntheticLayer('slow', 3_000_000);
    const worker = buildImage({ name: 'slow', platforms: ['linux/amd64'], layers: () => [slow] });
    await registry.putImage('team/web', '1.2.0', worker);
    // The slow layer's upload hangs until the run is dead, also one that is begun again when a minute has brought no answer.
    mirror.fail({
      class: 'upload-put',
      path: new RegExp(slow.descriptor.digest.replace(':', '(?::|%3A)')),
      times: 'always',
      fault: { kind: 'stall', milliseconds: 300_000 },
    });
    const out = join(world.folder, 'killed');
    const started = world.startEks({ out, args, publish: manners === 'ecr' });
    const web = /team\/web sha256:/;
    // Much is there, and the config of the image whose layer hangs: a blob that no manifest names.
    const isHeld = (): boolean => {
      const there = completedUploads(mirror);
      return there.length >= 20 && there.some((each) => web.test(each)) && mirror.requests.count(isStalled) > 0;
    };
    try {
      while (!isHeld() && started.process.exitCode === null) await sleep(20, undefined, { signal });
    } finally {
      started.process.kill('SIGKILL');
    }
    const killed = await readRun(out, await started.ended);
    expect(killed.status).toBeNull();
    expect(killed.record).toBeUndefined();
    const done = completedUploads(mirror);
    forget(world);
    mirror.reset();

    const run = await world.eks({ args, publish: manners === 'ecr' });
    expect(run.status, said(run)).toBe(0);
    const again = completedUploads(mirror);
    expect(again.filter((upload) => done.includes(upload))).toEqual([]);
    expect(again.length).toBeGreaterThan(0);
    expect(existsSync(join(run.out, 'metadata.json'))).toBe(manners === 'ecr');
  });
});

const isStalled = ({ fault }: LoggedRequest): boolean => fault === 'stall';
