import { describe, expect, it } from 'vitest';
import type { CredentialSource } from '../model/credentials.ts';
import { mediaTypes } from '../model/media-types.ts';
import { buildImage, manifestOf } from '../testing/image-builder.ts';
import { tarLayer } from '../testing/image-layers.ts';
import { copyOf, expectHeld, failuresOf, kindsOf, largeImage, manyImages, type Place, smallImage, testWorld, tinyImage, type TestWorld } from '../../test/copy-world.ts'; // prettier-ignore
import { verifyArtifacts } from './verify.ts';

/** What changes while it is copied, at either side, and what is of an unusual size. Every byte at the target is checked. */
const { signal } = new AbortController();

interface Two {
  readonly world: TestWorld;
  readonly source: Place;
  readonly target: Place;
}

async function two(): Promise<Two> {
  const world = await testWorld();
  return { world, source: await world.registry(), target: await world.registry() };
}

/** A target with the manners of ECR, as its account's interface would open it. */
async function ecr(world: TestWorld, repositories: readonly string[], immutable = false): Promise<Place> {
  const credentials: CredentialSource = { credentialFor: () => Promise.resolve(undefined) };
  const place = await world.registry({ manners: 'ecr', auth: { kind: 'none' } }, { credentials, mounting: 'never' });
  for (const name of repositories)
    place.server.createRepository(name, { imageTagMutability: immutable ? 'IMMUTABLE' : 'MUTABLE' });
  return place;
}

describe('a source that changes', () => {
  it('after it was asked: what its tag named then is copied whole', async () => {
    const { world, source, target } = await two();
    const [old, fresh] = [smallImage('old'), smallImage('fresh')];
    await source.server.putImage('app', '1', old);
    const run = (): Promise<void> => source.server.putImage('app', '1', fresh);
    source.server.fail({ class: 'manifest-get', skip: 1, fault: { kind: 'call', run } });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(outcomes).toMatchObject([{ kind: 'copied', digest: old.digest }]);
    await expectHeld(target, old);
    expect(target.server.repository('mirror/app')?.manifests.size).toBe(3);
    // The next run follows.
    expect(kindsOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual(['copied']);
    await expectHeld(target, fresh);
  });

  it('after it was asked, and forgets what it was: what its tag names now is copied whole', async () => {
    const { world, source, target } = await two();
    const [old, fresh] = [smallImage('old'), smallImage('fresh')];
    await source.server.putImage('app', '1', old);
    const replace = async (): Promise<void> => {
      await source.server.putImage('app', '1', fresh);
      source.server.deleteManifest('app', old.digest);
    };
    source.server.fail({ class: 'manifest-get', fault: { kind: 'call', run: replace } });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(outcomes).toMatchObject([{ kind: 'copied', digest: fresh.digest }]);
    await expectHeld(target, fresh);
  });

  it('and loses a child or a blob: fails, and leaves no tag', async () => {
    const { world, source, target } = await two();
    const many = await manyImages(source, target, 3);
    const [childless, blobless] = [many[0]?.image, many[1]?.image];
    const child = childless?.manifests[0]?.descriptor.digest ?? '';
    const blob = [...(blobless?.blobs.keys() ?? [])].at(-1) ?? '';
    source.server.deleteManifest('app-0', child);
    source.server.fail({ class: 'blob-get', reference: blob, fault: { kind: 'drop-blob', when: 'before' } });
    const { outcomes } = await world.copy(many.map(({ request }) => request));
    expect(kindsOf(outcomes)).toEqual(['failed', 'failed', 'copied']);
    const common = { side: 'source', code: 'not-found', host: source.server.host };
    expect(failuresOf(outcomes)).toMatchObject([
      { ...common, cause: expect.stringContaining(child) as string },
      { ...common, cause: expect.stringContaining(blob) as string, digest: blob },
    ]);
    expect(source.server.requests.count((entry) => entry.reference === blob)).toBe(1);
    expect(target.server.repositories().filter((name) => target.server.tags(name).length > 0)).toEqual([
      'mirror/app-2',
    ]);
    expect(await target.server.damage()).toEqual([]);
  });
});

describe('a target that others write to', () => {
  it('under the same tag, before us: ours is there afterwards', async () => {
    const { world, source, target } = await two();
    const [ours, theirs] = [smallImage('ours'), smallImage('theirs')];
    await source.server.putImage('app', '1', ours);
    const run = (): Promise<void> => target.server.putImage('mirror/app', '1', theirs);
    target.server.fail({ class: 'manifest-put', reference: '1', fault: { kind: 'call', run } });
    expect(failuresOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual([]);
    await expectHeld(target, ours);
  });

  it('under the same tag, after us: verifying finds it, and copying again mends it', async () => {
    const { world, source, target } = await two();
    const [ours, theirs] = [smallImage('ours'), smallImage('theirs')];
    await source.server.putImage('app', '1', ours);
    const request = copyOf(source, target);
    await world.copy([request]);
    await target.server.putImage('mirror/app', '1', theirs);
    const expectations = [{ artifact: 'app', digest: ours.digest, targets: request.targets }];
    expect(await verifyArtifacts(expectations, { signal })).toMatchObject([
      {
        repairable: true,
        error: { host: target.server.host, message: expect.stringContaining(theirs.digest) as string },
      },
    ]);
    await world.copy([request]);
    expect(await verifyArtifacts(expectations, { signal })).toEqual([]);
    await expectHeld(target, ours);
  });

  it('from other runs of the same plan, at the same time: all end well', async () => {
    const { world, source, target } = await two();
    const many = await manyImages(source, target, 8);
    const other = await testWorld();
    const requests = many.map(({ request }) => request);
    const results = await Promise.all([
      world.copy(requests),
      other.copy(requests),
      other.copy([...requests].reverse()),
    ]);
    expect(results.flatMap(({ outcomes }) => failuresOf(outcomes))).toEqual([]);
    for (const { image, request } of many) await expectHeld(target, image, `mirror/${request.source.repository}`);
  });

  it('under an immutable tag: the conflict is told, not tried again, and their image stays', async () => {
    const world = await testWorld();
    const source = await world.registry();
    const target = await ecr(world, ['mirror/app-0', 'mirror/app-1'], true);
    const many = await manyImages(source, target, 2);
    const theirs = smallImage('theirs');
    const run = (): Promise<void> => target.server.putImage('mirror/app-0', '1', theirs);
    target.server.fail({
      class: 'manifest-put',
      repository: 'mirror/app-0',
      reference: '1',
      fault: { kind: 'call', run },
    });
    const { outcomes } = await world.copy(many.map(({ request }) => request));
    expect(kindsOf(outcomes)).toEqual(['failed', 'copied']);
    expect(failuresOf(outcomes)).toMatchObject([
      {
        side: 'target',
        code: 'conflict',
        host: target.server.host,
        reference: expect.stringContaining(`${target.server.host}/mirror/app-0`) as string,
        cause: expect.stringContaining('immutable') as string,
        remedy: expect.stringContaining('use another tag') as string,
      },
    ]);
    expect(
      target.server.requests.count(({ repository, reference }) => `${repository}:${reference}` === 'mirror/app-0:1'),
    ).toBe(3);
    expect(target.server.manifest('mirror/app-0', '1')?.descriptor.digest).toBe(theirs.digest);
    expect(await target.server.damage()).toEqual([]);
  });
});

describe('a target that forgets', () => {
  const manners = ['plain', 'ecr'] as const;
  const fresh = async (like: (typeof manners)[number]): Promise<Two> => {
    const world = await testWorld();
    const target =
      like === 'ecr'
        ? await ecr(world, ['mirror/app'])
        : await world.registry({ mounting: false }, { mounting: 'never' });
    return { world, source: await world.registry(), target };
  };

  it.each(manners)('blobs that it had taken (%s): they are sent once more, and nothing else is', async (like) => {
    const { world, source, target } = await fresh(like);
    const image = await largeImage('app');
    await source.server.putImage('app', '1', image);
    const forgotten = [...image.blobs.keys()].slice(0, 2);
    const run = (): void => {
      for (const digest of forgotten) target.server.deleteBlob('mirror/app', digest);
    };
    target.server.fail({ class: 'manifest-put', fault: { kind: 'call', run } });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    await expectHeld(target, image);
    expect(target.server.count('upload-put')).toBe(image.blobs.size + forgotten.length);
  });

  it.each(manners)('a manifest below an index (%s): it is written once more, and no blob is sent', async (like) => {
    const { world, source, target } = await fresh(like);
    const image = smallImage('app');
    await source.server.putImage('app', '1', image);
    const child = image.manifests[0]?.descriptor.digest ?? '';
    const run = (): void => target.server.deleteManifest('mirror/app', child);
    target.server.fail({ class: 'manifest-put', reference: '1', fault: { kind: 'call', run } });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    await expectHeld(target, image);
    expect(target.server.count('upload-put')).toBe(image.blobs.size);
    expect(target.server.count('manifest-put')).toBeLessThanOrEqual(2 * 3);
  });

  it('everything, always: fails after the second time', async () => {
    const { world, source, target } = await two();
    const image = tinyImage('app');
    await source.server.putImage('app', '1', image);
    target.server.fail({ class: 'upload-put', times: 'always', fault: { kind: 'drop-blob', when: 'after' } });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toMatchObject([
      {
        side: 'target',
        code: 'blob-unknown',
        reference: expect.stringContaining(`${target.server.host}/mirror/app`) as string,
        cause: expect.stringMatching(/BLOB_UNKNOWN.*sha256:/) as string,
      },
    ]);
    expect([target.server.count('upload-put'), target.server.count('manifest-put')]).toEqual([4, 2]);
    expect(target.server.repository('mirror/app')?.manifests.size).toBe(0);
  });
});

describe('unusual sizes', () => {
  const padded = (bytes: number): { readonly bytes: Uint8Array; readonly mediaType: string } => {
    const image = tinyImage('padded').manifests[0];
    const json = JSON.parse(Buffer.from(image?.bytes ?? []).toString()) as object;
    const empty = manifestOf({ ...json, annotations: { padding: '' } }, mediaTypes.ociManifest);
    const padding = 'x'.repeat(bytes - empty.descriptor.size);
    const { descriptor, ...content } = manifestOf({ ...json, annotations: { padding } }, mediaTypes.ociManifest);
    expect(descriptor.size).toBe(bytes);
    return { ...content, mediaType: descriptor.mediaType };
  };

  it('a manifest of 4 MiB is copied, one byte more is refused without reading much of it', async () => {
    const { world, source, target } = await two();
    const limit = 4 * 2 ** 20;
    for (const [name, size] of [
      ['largest', limit],
      ['larger', limit + 1],
      ['huge', 4 * limit],
    ] as const) {
      await source.server.putImage(name, undefined, tinyImage('padded'));
      const { bytes, mediaType } = padded(size);
      source.server.putManifest(name, '1', bytes, mediaType);
    }
    const { outcomes } = await world.copy(['largest', 'larger', 'huge'].map((name) => copyOf(source, target, name)));
    expect(kindsOf(outcomes)).toEqual(['copied', 'failed', 'failed']);
    failuresOf(outcomes).forEach((failure, n) => {
      expect(failure).toMatchObject({
        side: 'source',
        code: 'corrupt',
        reference: expect.stringContaining(`${source.server.host}/${n === 0 ? 'larger' : 'huge'}`) as string,
        cause: expect.stringContaining('larger than 4194304 bytes') as string,
        remedy: expect.stringContaining('check that it is an image') as string,
      });
    });
    expect(target.server.manifest('mirror/largest', '1')?.descriptor.size).toBe(limit);
    expect(await target.server.damage()).toEqual([]);
    const sent = source.server.requests.of((entry) => entry.class === 'manifest-get' && entry.repository === 'huge');
    expect(sent).toHaveLength(1);
  });

  it('an index of 50 children is copied, each manifest and blob once', async () => {
    const { world, source, target } = await two();
    const platforms = Array.from({ length: 50 }, (_, n) => `linux/amd64/v${n}`);
    const layers = (platform: string) => [tarLayer([{ path: 'own', content: platform }])];
    const image = buildImage({ name: 'wide', platforms, layers });
    await source.server.putImage('app', '1', image);
    expect(failuresOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual([]);
    await expectHeld(target, image);
    expect(image.blobs.size).toBe(100);
    const { server } = target;
    expect([server.count('manifest-put'), server.count('upload-put')]).toEqual([51, 100]);
    expect([source.server.count('manifest-get'), source.server.count('blob-get')]).toEqual([51, 100]);
  });

  it.each(['requests', 'targets'])(
    '100 tags on one digest, as many %s: each tag is written once, all else once',
    async (how) => {
      const { world, source, target } = await two();
      const image = smallImage('app');
      const tags = Array.from({ length: 100 }, (_, n) => `v${n}`);
      for (const tag of tags) await source.server.putImage('app', tag, image);
      const each = tags.map((tag) => copyOf(source, target, 'app', tag));
      const one = { ...copyOf(source, target, 'app', 'v0'), targets: each.flatMap(({ targets }) => targets) };
      expect(failuresOf((await world.copy(how === 'requests' ? each : [one])).outcomes)).toEqual([]);
      for (const tag of tags) expect(target.server.manifest('mirror/app', tag)?.descriptor.digest).toBe(image.digest);
      await expectHeld(target, image, 'mirror/app', 'v99');
      const { server } = target;
      expect([server.count('manifest-put'), server.count('upload-put')]).toEqual([100 + 2, image.blobs.size]);
      expect(source.server.count('blob-get')).toBe(image.blobs.size);
    },
  );

  it('20 artifacts that race for one repository bring each shared blob once', async () => {
    const { world, source, target } = await two();
    const images = Array.from({ length: 20 }, (_, n) => smallImage(`app-${n}`));
    const requests = [];
    for (const [n, image] of images.entries()) {
      await source.server.putImage(`app-${n}`, '1', image);
      const targets = [{ store: target.store, repository: 'mirror/all', reference: `v${n}` }];
      requests.push({ ...copyOf(source, target, `app-${n}`), targets });
    }
    expect(failuresOf((await world.copy(requests)).outcomes)).toEqual([]);
    for (const [n, image] of images.entries()) await expectHeld(target, image, 'mirror/all', `v${n}`);
    const blobs = new Set(images.flatMap((image) => [...image.blobs.keys()]));
    expect([target.server.count('upload-put'), source.server.count('blob-get')]).toEqual([blobs.size, blobs.size]);
  });
});
