import { describe, expect, it } from 'vitest';
import type { CredentialSource } from '../model/credentials.ts';
import { noCredentials } from '../model/credentials.ts';
import { digestOf } from '../model/digest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { parsePlatform } from '../model/platform.ts';
import { buildImage } from '../testing/image-builder.ts';
import { copyOf, expectHeld, failuresOf, kindsOf, largeImage, manyImages, type Place, smallImage, patient, testWorld, tinyImage, type TestWorld } from '../../test/copy-world.ts'; // prettier-ignore
import { type Asked, type Doing, type Front, frontOf } from '../../test/registry-front.ts';

/** Targets that answer as the specification does not foresee, or as only one registry does. Every byte at the target is checked. */
const login = { username: 'robot', password: 'only-for-this-test' };
const credentials: CredentialSource = { credentialFor: () => Promise.resolve({ kind: 'basic', ...login }) };

const isPut = ({ method, path }: Asked): boolean => method === 'PUT' && path.includes('/blobs/uploads/');
const isMount = ({ path }: Asked): boolean => path.includes('?mount=');
const isManifestPut = ({ method, path }: Asked): boolean => method === 'PUT' && path.includes('/manifests/');
const oci = (status: number, code: string, message = ''): Doing => ({
  kind: 'answer',
  status,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ errors: [{ code, message }] }),
});

interface Scene {
  readonly world: TestWorld;
  readonly source: Place;
  readonly target: Front;
}

async function scene(doing: (asked: Asked) => Doing | undefined, server = {}, store = {}): Promise<Scene> {
  const world = await testWorld(patient);
  const source = await world.registry();
  const behind = await world.registry(server);
  return { world, source, target: await frontOf(world, behind.server, doing, store) };
}

describe('a mount', () => {
  it('that is answered otherwise for each blob, 201 without Location and every refusal: all arrive', async () => {
    // The first one tells that mounts work; then there are seven at least, for the base that eight images share.
    const answers = [201, 404, 405, 500, 403, 415, 400];
    let mounts = 0;
    const { world, source, target } = await scene((asked) => {
      if (!isMount(asked)) return undefined;
      const status = mounts === 0 ? undefined : answers[(mounts - 1) % answers.length];
      mounts += 1;
      if (status === 201) return { kind: 'change', headers: { location: undefined } };
      return status === undefined ? undefined : { kind: 'answer', status };
    });
    const many = await manyImages(source, target, 8);
    const { outcomes } = await world.copy(many.map(({ request }) => request));
    expect(failuresOf(outcomes)).toEqual([]);
    for (const { image, request } of many) await expectHeld(target, image, `mirror/${request.source.repository}`);
    expect(mounts).toBeGreaterThan(answers.length);
  });
});

describe('an upload', () => {
  it('whose session is lost or spoilt, in the words of each registry, goes on in another session', async () => {
    const refusals = [
      oci(404, 'BLOB_UPLOAD_UNKNOWN'),
      oci(416, 'BLOB_UPLOAD_INVALID', 'First byte of the layer part is 0 instead of 5'),
      oci(400, 'BLOB_UPLOAD_INVALID'),
      oci(400, 'LayerPartTooSmallException', 'All layer parts except the last part should be at least 5MB'),
      oci(400, 'InvalidLayerPartException'),
      oci(400, 'EmptyUploadException', 'cannot be completed because it does not have any parts'),
      oci(400, 'UploadNotFoundException'),
    ];
    const refused = new Map<string, Doing>();
    const { world, source, target } = await scene((asked) => {
      const digest = new URL(asked.path, 'http://x').searchParams.get('digest');
      const refusal = refusals[refused.size];
      if (!isPut(asked) || digest === null || refusal === undefined || refused.has(digest)) return undefined;
      refused.set(digest, refusal);
      return refusal;
    });
    const images = [await largeImage('one'), await largeImage('two')];
    for (const [n, image] of images.entries()) await source.server.putImage(`app-${n}`, '1', image);
    const { outcomes } = await world.copy(images.map((_, n) => copyOf(source, target, `app-${n}`)));
    expect([failuresOf(outcomes), refused.size]).toEqual([[], refusals.length]);
    for (const [n, image] of images.entries()) await expectHeld(target, image, `mirror/app-${n}`);
    const unique = new Set(images.flatMap(({ blobs }) => [...blobs.keys()]));
    expect(target.asked.filter(isPut)).toHaveLength(unique.size + refusals.length);
  });

  it('of no bytes at all, which ECR does not take, is tried once, and said so', async () => {
    const empty = digestOf('');
    const isEmpty = (asked: Asked): boolean =>
      isPut(asked) && new URL(asked.path, 'http://x').searchParams.get('digest') === empty;
    const { world, source, target } = await scene((asked) =>
      isEmpty(asked)
        ? oci(400, 'BLOB_UPLOAD_INVALID', 'the upload cannot be completed because it does not have any parts')
        : undefined,
    );
    const layer = { mediaType: mediaTypes.ociLayerGzip, digest: empty, size: 0 };
    const image = buildImage({
      name: 'empty',
      platforms: ['linux/amd64'],
      index: false,
      layers: () => [{ descriptor: layer, content: new Uint8Array(0) }],
    });
    await source.server.putImage('app', '1', image);
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toMatchObject([
      { side: 'target', code: 'unsupported', host: target.host, digest: empty },
    ]);
    expect(target.asked.filter(isEmpty)).toHaveLength(1);
  });

  it('of a layer that ECR says it has (LayerAlreadyExists) is done', async () => {
    const { world, source, target } = await scene((asked) =>
      isPut(asked)
        ? {
            kind: 'change',
            status: 400,
            body: () => Buffer.from('{"errors":[{"code":"LayerAlreadyExistsException"}]}'),
          }
        : undefined,
    );
    const image = await largeImage('app');
    await source.server.putImage('app', '1', image);
    expect(failuresOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual([]);
    await expectHeld(target, image);
    expect(target.asked.filter(isPut)).toHaveLength(image.blobs.size);
  });

  it('that a proxy finds too large is tried once, and said so', async () => {
    const nginx: Doing = { kind: 'answer', status: 413, body: '<html><h1>413 Request Entity Too Large</h1></html>' };
    const { world, source, target } = await scene((asked) =>
      isPut(asked) && Number(asked.headers['content-length']) > 1_000_000 ? nginx : undefined,
    );
    await source.server.putImage('app', '1', await largeImage('app'));
    await source.server.putImage('tiny', '1', tinyImage('tiny'));
    const { outcomes } = await world.copy([copyOf(source, target), copyOf(source, target, 'tiny')]);
    expect(kindsOf(outcomes)).toEqual(['failed', 'copied']);
    const remedy = expect.stringContaining('client_max_body_size') as string;
    for (const failure of failuresOf(outcomes))
      expect(failure).toMatchObject({ side: 'target', code: 'unsupported', host: target.host, remedy });
    expect(
      target.asked.filter((asked) => isPut(asked) && Number(asked.headers['content-length']) > 1_000_000).length,
    ).toBeLessThanOrEqual(2);
    expect(target.server.repository('mirror/app')?.manifests.size ?? 0).toBe(0);
  });

  it.each([307, 308])(
    'that is sent elsewhere with %i arrives there, small and streamed, without credentials',
    async (status) => {
      const world = await testWorld(patient);
      const source = await world.registry();
      const behind = await world.registry({ auth: { kind: 'bearer', ...login } });
      const moved = new Set<string>();
      const target = await frontOf(
        world,
        behind.server,
        (asked) => {
          if (!isPut(asked)) return undefined;
          expect(asked.headers.authorization).toBeDefined();
          const to = `http://${behind.server.storageHost}${asked.path}`;
          moved.add(to);
          return { kind: 'answer', status, headers: { location: to } };
        },
        { credentials },
      );
      const image = await largeImage('app');
      await source.server.putImage('app', '1', image);
      expect(failuresOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual([]);
      await expectHeld(target, image);
      const arrived = behind.server.requests.of((entry) => entry.class === 'upload-put');
      expect(
        arrived.map(({ path, headers }) => [moved.has(`http://${headers.host ?? ''}${path}`), headers.authorization]),
      ).toEqual(arrived.map(() => [true, undefined]));
      expect(target.asked.filter(isPut)).toHaveLength(image.blobs.size);
    },
  );

  it('whose Location is another port: no token goes there', async () => {
    const world = await testWorld(patient);
    const source = await world.registry();
    const behind = await world.registry({ auth: { kind: 'bearer', ...login } });
    behind.server.fail({ class: 'upload-start', times: 'always', fault: { kind: 'location', form: 'other-host' } });
    behind.server.fail({ class: 'mount', times: 'always', fault: { kind: 'location', form: 'other-host' } });
    const target: Place = await world.registry({}, {});
    const place = {
      server: behind.server,
      store: (await frontOf(world, behind.server, () => undefined, { credentials })).store,
    };
    const image = await largeImage('app');
    await source.server.putImage('app', '1', image);
    expect(failuresOf((await world.copy([copyOf(source, place)])).outcomes)).toEqual([]);
    await expectHeld(place, image);
    const puts = behind.server.requests.of('upload-put');
    expect(puts.map(({ headers }) => [headers.host, headers.authorization])).toEqual(
      puts.map(() => [behind.server.storageHost, undefined]),
    );
    expect(target.server.requests.entries).toEqual([]);
  });
});

describe('a manifest', () => {
  it('that ECR says it has (ImageAlreadyExists) is there, where it has the same', async () => {
    const { world, source, target } = await scene((asked) =>
      isManifestPut(asked)
        ? {
            kind: 'change',
            status: 400,
            body: () =>
              Buffer.from(
                '{"errors":[{"code":"ImageAlreadyExistsException","message":"Image with digest and tag already exists"}]}',
              ),
          }
        : undefined,
    );
    const image = smallImage('app');
    await source.server.putImage('app', '1', image);
    expect(failuresOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual([]);
    await expectHeld(target, image);
    expect(target.asked.filter(isManifestPut)).toHaveLength(3);
  });

  it('beyond a quota fails with what to do, once', async () => {
    const message =
      "The repository with name 'mirror/app' in registry with id '1' already has the maximum allowed number of images which is '10000'";
    const { world, source, target } = await scene((asked) =>
      isManifestPut(asked) ? oci(403, 'DENIED', message) : undefined,
    );
    await source.server.putImage('app', '1', tinyImage('app'));
    const failures = failuresOf((await world.copy([copyOf(source, target)])).outcomes);
    expect(failures).toMatchObject([
      {
        side: 'target',
        code: 'denied',
        cause: expect.stringContaining('maximum allowed') as string,
        remedy: expect.stringContaining('quota') as string,
      },
    ]);
    expect(target.asked.filter(isManifestPut)).toHaveLength(1);
  });

  it('whose blobs the target misses, though it says that it has them: those that it names are sent again, once', async () => {
    const image = smallImage('app');
    const [lost = ''] = image.blobs.keys();
    let missed = 0;
    const { world, source, target } = await scene(
      (asked) => {
        if (asked.method === 'HEAD' && asked.path.includes('/blobs/') && missed > 0)
          return { kind: 'change', status: 200 };
        if (!isManifestPut(asked) || missed > 0) return undefined;
        missed += 1;
        target.server.deleteBlob('mirror/app', lost);
        return oci(404, 'BLOB_UNKNOWN', `Layers with digests '[${lost}]' required for pushing image do not exist`);
      },
      { mounting: false },
      { mounting: 'never' },
    );
    await source.server.putImage('app', '1', image);
    expect(failuresOf((await world.copy([copyOf(source, target)])).outcomes)).toEqual([]);
    await expectHeld(target, image);
    expect(target.asked.filter(isPut)).toHaveLength(image.blobs.size + 1);
  });
});

it('a repository that another program deletes in the middle fails its image with its name, and no other', async () => {
  const world = await testWorld(patient);
  const source = await world.registry();
  const behind = await world.registry({ manners: 'ecr', auth: { kind: 'none' } });
  for (const name of ['mirror/app-0', 'mirror/app-1']) behind.server.createRepository(name);
  let gone = false;
  const unknown = oci(
    404,
    'NAME_UNKNOWN',
    "The repository with name 'mirror/app-0' does not exist in the registry with id '123456789012'",
  );
  const target = await frontOf(
    world,
    behind.server,
    (asked) => {
      if (!asked.path.startsWith('/v2/mirror/app-0/')) return undefined;
      gone ||= isPut(asked);
      return gone ? unknown : undefined;
    },
    { credentials: noCredentials, mounting: 'never' },
  );
  const many = await manyImages(source, target, 2);
  const { outcomes } = await world.copy(many.map(({ request }) => request));
  expect(kindsOf(outcomes)).toEqual(['failed', 'copied']);
  expect(failuresOf(outcomes)).toMatchObject([
    {
      side: 'target',
      code: 'not-found',
      reference: `${target.host}/mirror/app-0:1`,
      cause: expect.stringContaining('mirror/app-0') as string,
    },
  ]);
  expect(target.asked.filter(({ path }) => path.startsWith('/v2/mirror/app-0/')).length).toBeLessThan(25);
});

it.each(['all', 'some'] as const)(
  'a target by the digest of something else (%s platforms) is refused before anything is sent',
  async (which) => {
    const world = await testWorld();
    const [source, target] = [await world.registry(), await world.registry()];
    const image = smallImage('app');
    await source.server.putImage('app', '1', image);
    const request = copyOf(source, target);
    const reference = which === 'all' ? smallImage('other').digest : image.digest;
    const targets = request.targets.map((place) => ({ ...place, reference }));
    const platforms = which === 'all' ? ('all' as const) : [parsePlatform('linux/amd64')];
    const { outcomes } = await world.copy([{ ...request, targets, platforms }]);
    expect(failuresOf(outcomes)).toMatchObject([
      { side: 'target', code: 'configuration', cause: expect.stringContaining(reference) as string },
    ]);
    expect(target.server.requests.count(({ method }) => method !== 'GET' && method !== 'HEAD')).toBe(0);
  },
);
