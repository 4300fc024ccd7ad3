import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RegistryServer, startRegistryServer } from '../src/testing/registry-server.ts';
import { fillRegistry, type FilledImage, pointTags } from './corpus/fill.ts';
import { planCorpus } from './corpus/plan.ts';
import { type RegistryApi, registryApi } from './registry/api.ts';
import { isComplete, lackingText, verifyTarget } from './verify.ts';

describe('filling a registry and verifying it', () => {
  let servers: readonly RegistryServer[];
  let [full, empty]: RegistryApi[] = [];
  let images: readonly FilledImage[];

  beforeEach(async () => {
    servers = [await startRegistryServer({ manners: 'plain' }), await startRegistryServer({ manners: 'plain' })];
    [full, empty] = servers.map(({ host }) => registryApi(host, new AbortController().signal));
    images = await fillRegistry(planCorpus('eks', { scale: 0.0005, seed: 'test' }), api(full));
    await pointTags(images, 'first', api(full));
  });
  afterEach(async () => {
    for (const each of [full, empty]) await each?.close();
    for (const server of servers) await server.close();
  });

  const api = (registry: RegistryApi | undefined): RegistryApi => {
    if (registry === undefined) throw new Error('not started');
    return registry;
  };

  it('finds everything that was put there, and every byte of it', async () => {
    const lacking = await verifyTarget(images, 'first', api(full), true);
    expect(lacking).toEqual({ tags: 0, manifests: 0, blobs: 0, corrupt: 0 });
    expect(isComplete(lacking)).toBe(true);
  });

  it('uploads each blob once, and mounts it elsewhere', () => {
    const unique = new Set(
      images
        .flatMap(({ first, moved }) => [first, moved].flatMap((each) => each?.blobs ?? []))
        .map(({ digest }) => digest),
    );
    expect(servers[0]?.requests.count('upload-put')).toBe(unique.size);
  });

  it('tells of tags that were not moved', async () => {
    expect(lackingText(await verifyTarget(images, 'moved', api(full), false))).toBe('1 tag');
    await pointTags(images, 'moved', api(full));
    expect(isComplete(await verifyTarget(images, 'moved', api(full), true))).toBe(true);
  });

  it('misses everything in an empty registry', async () => {
    const lacking = await verifyTarget(images, 'first', api(empty), true);
    const blobs = images.reduce((sum, { first }) => sum + first.blobs.length, 0);
    expect(lacking).toEqual({ tags: 3, manifests: 6, blobs, corrupt: 0 });
    expect(lackingText(lacking)).toBe(`3 tags, 6 manifests, ${blobs} blobs`);
  });

  it('sees bytes that are not those of their digest', async () => {
    const broken = { ...api(full), blobDigest: () => Promise.resolve(images[0]?.first.top.digest) };
    const lacking = await verifyTarget(images, 'first', broken, true);
    expect(lacking.corrupt).toBeGreaterThan(6);
    expect((await verifyTarget(images, 'first', broken, false)).corrupt).toBe(0);
  });
});
