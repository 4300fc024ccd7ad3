import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryStore } from '../layout/memory.ts';
import { digestOf, type Digest } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Descriptor, ManifestContent } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import type { WriteStore } from '../model/store.ts';
import { newProgressCounters, silentReporter } from '../report/events.ts';
import { copyArtifacts } from './copy.ts';
import { cutFromAnnotation } from './platform-subset.ts';
import type { CopyOptions, CopyRequest } from './request.ts';
import { verifyArtifacts } from './verify.ts';

const never = new AbortController().signal;
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'copy-test-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function options(over: Partial<CopyOptions> = {}): CopyOptions {
  return {
    reporter: silentReporter,
    counters: newProgressCounters(),
    signal: never,
    spoolDirectory: join(folder, 'spool'),
    ...over,
  };
}

async function putBlob(
  store: WriteStore,
  repository: string,
  bytes: Uint8Array,
  mediaType: string = mediaTypes.ociLayerGzip,
): Promise<Descriptor> {
  const descriptor: Descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  const start = await store.startUpload(repository, descriptor.digest, undefined, never);
  if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, bytes, never);
  return descriptor;
}

async function putJson(
  store: WriteStore,
  repository: string,
  mediaType: string,
  json: object,
  tag?: string,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(json));
  const descriptor: Descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  const content: ManifestContent = { bytes, descriptor };
  await store.writeManifest(repository, tag ?? descriptor.digest, content, never);
  return descriptor;
}

/** A two-platform image whose layers are the given bytes, for each platform with a config of its own. */
async function putImage(
  store: WriteStore,
  repository: string,
  tag: string,
  layers: readonly Uint8Array[],
): Promise<Descriptor> {
  await store.ensureRepository(repository, never);
  const manifests: object[] = [];
  for (const architecture of ['amd64', 'arm64']) {
    const config = await putBlob(
      store,
      repository,
      Buffer.from(JSON.stringify({ architecture, os: 'linux', repository, tag })),
      mediaTypes.ociConfig,
    );
    const blobs: Descriptor[] = [];
    for (const layer of layers) blobs.push(await putBlob(store, repository, layer));
    const manifest = await putJson(store, repository, mediaTypes.ociManifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: blobs,
    });
    manifests.push({ ...manifest, platform: { os: 'linux', architecture } });
  }
  return putJson(
    store,
    repository,
    mediaTypes.ociIndex,
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    tag,
  );
}

interface Spied {
  readonly store: WriteStore;
  readonly calls: string[];
  count(prefix: string): number;
}

/** Wraps a store: counts calls, and lets a test answer in its place. */
function spy(inner: WriteStore, replace: Partial<WriteStore> = {}): Spied {
  const calls: string[] = [];
  const store: WriteStore = {
    name: inner.name,
    mounting: replace.mounting ?? inner.mounting,
    ...(replace.batchedExistence === undefined ? {} : { batchedExistence: replace.batchedExistence }),
    resolve: (repository, reference, signal) => (
      calls.push(`resolve ${repository} ${reference}`),
      (replace.resolve ?? inner.resolve.bind(inner))(repository, reference, signal)
    ),
    readManifest: (repository, reference, signal) => (
      calls.push(`manifest ${repository} ${reference}`),
      (replace.readManifest ?? inner.readManifest.bind(inner))(repository, reference, signal)
    ),
    openBlob: (repository, descriptor, opening) => (
      calls.push(`read ${descriptor.digest}`),
      (replace.openBlob ?? inner.openBlob.bind(inner))(repository, descriptor, opening)
    ),
    listReferrers: (repository, digest, signal) => (
      calls.push(`referrers ${digest}`),
      inner.listReferrers(repository, digest, signal)
    ),
    listTags: (repository, signal) => (calls.push(`tags ${repository}`), inner.listTags(repository, signal)),
    ensureRepository: (repository, signal) => (
      calls.push(`ensure ${repository}`),
      (replace.ensureRepository ?? inner.ensureRepository.bind(inner))(repository, signal)
    ),
    missingBlobs: (repository, blobs, signal) => (
      calls.push(`missing ${repository}`),
      (replace.missingBlobs ?? inner.missingBlobs.bind(inner))(repository, blobs, signal)
    ),
    startUpload: (repository, digest, from, signal) => (
      calls.push(`${from === undefined ? 'start' : 'mount'} ${repository} ${digest}`),
      (replace.startUpload ?? inner.startUpload.bind(inner))(repository, digest, from, signal)
    ),
    finishUpload: (session, descriptor, body, signal) => (
      calls.push(`upload ${descriptor.digest}`),
      (replace.finishUpload ?? inner.finishUpload.bind(inner))(session, descriptor, body, signal)
    ),
    writeManifest: (repository, reference, content, signal) => (
      calls.push(`put ${repository} ${reference}`),
      (replace.writeManifest ?? inner.writeManifest.bind(inner))(repository, reference, content, signal)
    ),
  };
  return { store, calls, count: (prefix) => calls.filter((call) => call.startsWith(prefix)).length };
}

function request(
  source: WriteStore,
  target: WriteStore,
  repository: string,
  over: Partial<CopyRequest> = {},
): CopyRequest {
  return {
    artifact: `${repository}:1`,
    source: { store: source, repository, reference: '1' },
    targets: [{ store: target, repository: `mirror/${repository}`, reference: '1' }],
    platforms: 'all',
    ...over,
  };
}

describe('copyArtifacts', () => {
  const shared = randomBytes(3 << 20);

  async function sources(count: number): Promise<WriteStore> {
    const source = memoryStore('source');
    for (let n = 0; n < count; n += 1)
      await putImage(source, `app-${n}`, '1', [shared, randomBytes(2 << 20), Buffer.from(`own ${n}`)]);
    return source;
  }

  it('copies every platform byte for byte and skips everything on the second run', async () => {
    const source = await sources(1);
    const target = spy(memoryStore('target'));
    const first = await copyArtifacts([request(source, target.store, 'app-0')], options());
    expect(first.outcomes.map((outcome) => outcome.kind)).toEqual(['copied']);
    const original = await source.readManifest('app-0', '1', never);
    expect((await target.store.readManifest('mirror/app-0', '1', never)).bytes).toEqual(original.bytes);
    expect(
      await verifyArtifacts(
        [
          {
            artifact: 'x',
            digest: original.descriptor.digest,
            targets: [{ store: target.store, repository: 'mirror/app-0', reference: '1' }],
          },
        ],
        { signal: never },
      ),
    ).toEqual([]);

    target.calls.length = 0;
    const seen = spy(source);
    const second = await copyArtifacts([request(seen.store, target.store, 'app-0')], options());
    expect(second.outcomes.map((outcome) => outcome.kind)).toEqual(['unchanged']);
    expect(target.calls).toEqual(['resolve mirror/app-0 1']);
    expect(seen.calls).toEqual(['resolve app-0 1']);
  });

  it('asks nothing of the source about a reference with a digest that the target has', async () => {
    const source = await sources(1);
    const target = memoryStore('target');
    await copyArtifacts([request(source, target, 'app-0')], options());
    const { digest } = await source.resolve('app-0', '1', never);
    const seen = spy(source);
    const again = request(seen.store, target, 'app-0', {
      source: { store: seen.store, repository: 'app-0', reference: digest },
    });
    expect((await copyArtifacts([again], options())).outcomes[0]?.kind).toBe('unchanged');
    expect(seen.calls).toEqual([]);
  });

  it.each(['after-upload', 'after-manifest', 'never'] as const)(
    'reads each unique blob once for many repositories when mounting is %s',
    async (mounting) => {
      const source = spy(await sources(6));
      const inner = memoryStore('target');
      const committed = new Set<string>();
      const target = spy(inner, {
        mounting,
        batchedExistence: true,
        // As ECR: only blobs that a committed manifest refers to can be mounted.
        startUpload: (repository, digest, from, signal) =>
          inner.startUpload(
            repository,
            digest,
            mounting === 'after-manifest' && from !== undefined && !committed.has(from) ? undefined : from,
            signal,
          ),
        writeManifest: async (repository, reference, content, signal) => {
          await inner.writeManifest(repository, reference, content, signal);
          committed.add(repository);
        },
      });
      const requests = Array.from({ length: 6 }, (_, n) => request(source.store, target.store, `app-${n}`));
      const result = await copyArtifacts(requests, options());
      expect(result.outcomes.map((outcome) => outcome.kind)).toEqual(Array<string>(6).fill('copied'));
      const reads = source.calls.filter((call) => call.startsWith('read '));
      expect(new Set(reads).size).toBe(reads.length);
      // One shared layer in six repositories: five mounts, or five uploads more, from one read.
      expect(target.count('mount ')).toBe(mounting === 'never' ? 0 : 5);
      expect(target.count('upload ')).toBe(6 * 4 + (mounting === 'never' ? 6 : 1));
      expect(target.count('put ')).toBe(6 * 3);
      await expect(readdir(join(folder, 'spool'))).rejects.toThrow();
    },
  );

  it('falls back to uploads at once when the target refuses mounts, still from one read', async () => {
    const source = spy(await sources(5));
    const inner = memoryStore('target');
    const target = spy(inner, {
      startUpload: (repository, digest, _from, signal) => inner.startUpload(repository, digest, undefined, signal),
    });
    const result = await copyArtifacts(
      Array.from({ length: 5 }, (_, n) => request(source.store, target.store, `app-${n}`)),
      options(),
    );
    expect(result.outcomes.every((outcome) => outcome.kind === 'copied')).toBe(true);
    const reads = source.calls.filter((call) => call.startsWith('read '));
    expect(new Set(reads).size).toBe(reads.length);
  });

  it('repeats a truncated and a corrupted read, and never commits wrong bytes', async () => {
    const inner = await sources(1);
    let broken = 2;
    const source = spy(inner, {
      openBlob: async (repository, descriptor, opening) => {
        const stream = await inner.openBlob(repository, descriptor, opening);
        if (descriptor.size < 2 << 20 || broken === 0) return stream;
        broken -= 1;
        const bytes = Buffer.concat(await stream.toArray());
        if (broken === 1) return Readable.from([bytes.subarray(0, 1000)]);
        bytes[5] = (bytes[5] ?? 0) ^ 1;
        return Readable.from([bytes]);
      },
    });
    const target = memoryStore('target');
    const result = await copyArtifacts([request(source.store, target, 'app-0')], options());
    expect(result.outcomes[0]?.kind).toBe('copied');
    expect(broken).toBe(0);
  });

  it('asks for the tags of one repository together, where the target can tell', async () => {
    const source = memoryStore('source');
    const target = memoryStore('target');
    for (const tag of ['1', '2', '3']) await putImage(source, 'app', tag, [randomBytes(1_000)]);
    const asked: string[] = [];
    const listing = spy(target);
    const store: WriteStore = {
      ...listing.store,
      tagDigests: async (repository, tags, signal) => {
        asked.push(`${repository} ${tags.join(' ')}`);
        const present = await target.listTags(repository, signal).catch((): readonly string[] => []);
        const wanted = tags.filter((tag) => present.includes(tag));
        return new Map(
          await Promise.all(
            wanted.map(async (tag) => [tag, (await target.resolve(repository, tag, signal)).digest] as const),
          ),
        );
      },
    };
    const requests = ['1', '2', '3'].map((tag): CopyRequest => ({
      artifact: `app:${tag}`,
      source: { store: source, repository: 'app', reference: tag },
      targets: [{ store, repository: 'mirror/app', reference: tag }],
      platforms: 'all',
    }));
    const kinds = async (): Promise<readonly string[]> =>
      (await copyArtifacts(requests, options())).outcomes.map(({ kind }) => kind);
    expect(await kinds()).toEqual(['copied', 'copied', 'copied']);
    await putImage(source, 'app', '2', [randomBytes(1_000)]);
    expect(await kinds()).toEqual(['unchanged', 'copied', 'unchanged']);
    listing.calls.length = 0;
    asked.length = 0;
    expect(await kinds()).toEqual(['unchanged', 'unchanged', 'unchanged']);
    expect(asked).toEqual(['mirror/app 1 2 3']);
    expect(listing.calls).toEqual([]);
  });

  it('reports one failed image with side and reference, and copies the others', async () => {
    const inner = await sources(3);
    const source = spy(inner, {
      readManifest: (repository, reference, signal) =>
        repository === 'app-1' && reference === '1'
          ? Promise.reject(new ReplicationError('denied', 'no entry', { status: 403 }))
          : inner.readManifest(repository, reference, signal),
    });
    const result = await copyArtifacts(
      Array.from({ length: 3 }, (_, n) => request(source.store, memoryStore('target'), `app-${n}`)),
      options(),
    );
    expect(result.outcomes.map((outcome) => outcome.kind)).toEqual(['copied', 'failed', 'copied']);
    const failed = result.outcomes[1];
    expect(failed?.kind === 'failed' ? failed.failures[0] : undefined).toMatchObject({
      side: 'source',
      code: 'denied',
      reference: 'source/app-1:1',
    });
  });

  it('sends again what the target lost before its manifest came', async () => {
    const source = await sources(1);
    const inner = memoryStore('target');
    let lost = true;
    const target = spy(inner, {
      batchedExistence: true,
      writeManifest: async (repository, reference, content, signal) => {
        if (lost) {
          lost = false;
          throw new ReplicationError('blob-unknown', 'layers not found');
        }
        await inner.writeManifest(repository, reference, content, signal);
      },
      missingBlobs: (_repository, blobs) => Promise.resolve(new Set(blobs.slice(0, 1).map((blob) => blob.digest))),
      ensureRepository: () => Promise.resolve('created'),
    });
    const result = await copyArtifacts([request(source, target.store, 'app-0')], options());
    expect(result.outcomes[0]?.kind).toBe('copied');
  });

  it('does not repeat a conflict with an immutable tag', async () => {
    const source = await sources(1);
    const inner = memoryStore('target');
    const target = spy(inner, {
      writeManifest: (repository, reference, content, signal) =>
        reference === '1'
          ? Promise.reject(new ReplicationError('conflict', 'tag is immutable'))
          : inner.writeManifest(repository, reference, content, signal),
    });
    const result = await copyArtifacts([request(source, target.store, 'app-0')], options());
    expect(result.outcomes[0]).toMatchObject({
      kind: 'failed',
      failures: [{ code: 'conflict', side: 'target', reference: 'target/mirror/app-0:1' }],
    });
    expect(target.count('put mirror/app-0 1')).toBe(1);
  });

  it('cuts a platform subset that says what it was cut from, and knows it again', async () => {
    const source = await sources(1);
    const target = memoryStore('target');
    const platforms = [{ os: 'linux', architecture: 'arm64' }];
    const result = await copyArtifacts([request(source, target, 'app-0', { platforms })], options());
    expect(result.outcomes[0]?.kind).toBe('copied');
    const original = await source.resolve('app-0', '1', never);
    const cut = await target.readManifest('mirror/app-0', '1', never);
    const json = JSON.parse(Buffer.from(cut.bytes).toString()) as {
      manifests: unknown[];
      annotations: Record<string, string>;
    };
    expect(json.manifests).toHaveLength(1);
    expect(json.annotations[cutFromAnnotation]).toBe(original.digest);
    const seen = spy(source);
    expect(
      (await copyArtifacts([request(seen.store, target, 'app-0', { platforms })], options())).outcomes[0]?.kind,
    ).toBe('unchanged');
    expect(seen.calls).toEqual(['resolve app-0 1']);
  });

  it('follows a moved tag and sends only what is new', async () => {
    const source = await sources(1);
    const target = spy(memoryStore('target'));
    await copyArtifacts([request(source, target.store, 'app-0')], options());
    await putImage(source, 'app-0', '1', [shared, Buffer.from('newer')]);
    target.calls.length = 0;
    const result = await copyArtifacts([request(source, target.store, 'app-0')], options());
    expect(result.outcomes[0]?.kind).toBe('copied');
    expect(target.count(`upload ${digestOf(shared)}`)).toBe(0);
    expect(target.count('upload ')).toBe(1);
  });

  it('brings signatures, attestations and referrers along, also those of children', async () => {
    const source = await sources(1);
    const index = await source.readManifest('app-0', '1', never);
    const child = (
      JSON.parse(Buffer.from(index.bytes).toString()) as {
        manifests: { digest: Digest; mediaType: string; size: number }[];
      }
    ).manifests[0];
    if (child === undefined) throw new Error('no child');
    const note = await putBlob(source, 'app-0', Buffer.from('signature'));
    const empty = await putBlob(source, 'app-0', Buffer.from('{}'), mediaTypes.ociEmpty);
    await putJson(
      source,
      'app-0',
      mediaTypes.ociManifest,
      { schemaVersion: 2, config: empty, layers: [note] },
      `${index.descriptor.digest.replace(':', '-')}.sig`,
    );
    const referrer = await putJson(source, 'app-0', mediaTypes.ociManifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: 'application/spdx+json',
      config: empty,
      layers: [note],
      subject: { digest: child.digest, mediaType: child.mediaType, size: child.size },
    });
    const target = memoryStore('target');
    const result = await copyArtifacts([request(source, target, 'app-0')], options());
    expect(result.outcomes[0]?.kind).toBe('copied');
    expect(
      await target.resolve('mirror/app-0', `${index.descriptor.digest.replace(':', '-')}.sig`, never),
    ).toBeDefined();
    expect((await target.listReferrers('mirror/app-0', child.digest, never)).map((entry) => entry.digest)).toEqual([
      referrer.digest,
    ]);
  });

  it('notices a referrer that the target does not support, and fails for any other reason', async () => {
    const source = await sources(1);
    const index = await source.resolve('app-0', '1', never);
    const empty = await putBlob(source, 'app-0', Buffer.from('{}'), mediaTypes.ociEmpty);
    const tag = `${index.digest.replace(':', '-')}.sig`;
    await putJson(source, 'app-0', mediaTypes.ociManifest, { schemaVersion: 2, config: empty, layers: [] }, tag);
    for (const [code, kind] of [
      ['unsupported', 'copied'],
      ['denied', 'failed'],
    ] as const) {
      const inner = memoryStore('target');
      const target = spy(inner, {
        writeManifest: (repository, reference, content, signal) =>
          reference === tag
            ? Promise.reject(new ReplicationError(code, 'not here'))
            : inner.writeManifest(repository, reference, content, signal),
      });
      const result = await copyArtifacts([request(source, target.store, 'app-0')], options());
      expect(result.outcomes[0]?.kind).toBe(kind);
      expect(result.notices).toHaveLength(code === 'unsupported' ? 1 : 0);
    }
  });

  it('finds what disappeared from the target, and repairs it', async () => {
    const source = await sources(1);
    const inner = memoryStore('target');
    await copyArtifacts([request(source, inner, 'app-0')], options());
    const { digest } = await source.resolve('app-0', '1', never);
    const gone = digestOf(shared);
    let mended = false;
    const target = spy(inner, {
      batchedExistence: true,
      missingBlobs: (_repository, blobs) =>
        Promise.resolve(new Set(mended ? [] : blobs.filter((blob) => blob.digest === gone).map((blob) => blob.digest))),
      finishUpload: async (session, descriptor, body, signal) => {
        await inner.finishUpload(session, descriptor, body, signal);
        mended = true;
      },
    });
    const place = { store: target.store, repository: 'mirror/app-0', reference: '1' };
    const mismatches = await verifyArtifacts([{ artifact: 'app', digest, targets: [place] }], { signal: never });
    expect(mismatches).toMatchObject([{ artifact: 'app', repairable: true, error: { digest: gone } }]);
    const result = await copyArtifacts([request(source, target.store, 'app-0', { repair: true })], options());
    expect(result.outcomes[0]?.kind).toBe('copied');
    expect(target.calls.filter((call) => call.startsWith('upload '))).toEqual([`upload ${gone}`]);
    expect(await verifyArtifacts([{ artifact: 'app', digest, targets: [place] }], { signal: never })).toEqual([]);
  });

  it('begins nothing new once admission ends, and says so for what is left', async () => {
    const source = await sources(3);
    const admission = new AbortController();
    admission.abort(new ReplicationError('deadline', 'time is up'));
    const result = await copyArtifacts(
      Array.from({ length: 3 }, (_, n) => request(source, memoryStore('target'), `app-${n}`)),
      options({ admission: admission.signal }),
    );
    expect(
      result.outcomes.map((outcome) => (outcome.kind === 'failed' ? outcome.failures[0]?.code : outcome.kind)),
    ).toEqual(['deadline', 'deadline', 'deadline']);
  });
});
