import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryStore } from '../layout/memory.ts';
import { digestOf } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import type { OpenBlobOptions, ReadStore } from '../model/store.ts';
import { createBlobReader } from './blob-content.ts';
import { createSlots } from './slots.ts';
import { createSpool } from './spool.ts';

const { signal } = new AbortController();
const megabyte = 1 << 20;

describe('reading a large blob', () => {
  const content = randomBytes(75 * megabyte + 17);
  const descriptor: Descriptor = {
    mediaType: mediaTypes.ociLayerGzip,
    digest: digestOf(content),
    size: content.length,
  };
  type Open = (options: OpenBlobOptions, count: number) => Promise<Readable>;

  const slice = ({ range }: OpenBlobOptions): Buffer =>
    range === undefined ? content : content.subarray(range.start, range.end + 1);
  /** In chunks of 1 MiB, as a network brings them. */
  const streamed = (bytes: Buffer): Readable =>
    Readable.from(
      (function* () {
        for (let at = 0; at < bytes.length; at += megabyte) yield bytes.subarray(at, at + megabyte);
      })(),
      { objectMode: false },
    );

  function setUp(open: Open, places = 16) {
    const asked: OpenBlobOptions[] = [];
    const store: ReadStore = {
      ...memoryStore('source'),
      openBlob: (_repository, _descriptor, options) => {
        asked.push(options);
        return open(options, asked.length);
      },
    };
    const slots = createSlots(24, places);
    const reader = createBlobReader({ slots, signal, onBytes: () => undefined, onRetry: () => undefined });
    // As the copier does: the blob's own read has a place already.
    const read = (): Promise<Buffer> =>
      slots.run(store.name, 0, async () =>
        buffer(await reader.stream({ store, repository: 'app', openUrl: undefined }, descriptor)),
      );
    return { asked, read };
  }

  it('asks for each byte once, in parts of 8 MiB, several at a time', async () => {
    let open = 0;
    let most = 0;
    const { asked, read } = setUp(async (options) => {
      most = Math.max(most, (open += 1));
      await new Promise((resolve) => setTimeout(resolve, 5));
      return streamed(slice(options)).on('close', () => (open -= 1));
    });
    expect((await read()).equals(content)).toBe(true);
    const ranges = asked.map(({ range }) => range ?? { start: -1, end: -1 }).sort((a, b) => a.start - b.start);
    expect(ranges[0]?.start).toBe(0);
    expect(ranges.at(-1)?.end).toBe(content.length - 1);
    for (const [position, range] of ranges.entries()) {
      expect(range.end - range.start).toBeLessThan(8 * megabyte);
      if (position > 0) expect(range.start).toBe((ranges[position - 1]?.end ?? 0) + 1);
    }
    expect(most).toBeGreaterThan(4);
    expect(most).toBeLessThanOrEqual(9);
  });

  it('uses only places at the source that nobody else wants', async () => {
    let open = 0;
    let most = 0;
    const { read } = setUp((options) => {
      most = Math.max(most, (open += 1));
      return Promise.resolve(streamed(slice(options)).on('close', () => (open -= 1)));
    }, 3);
    expect((await read()).equals(content)).toBe(true);
    expect(most).toBe(3);
  });

  it('takes up a part where it broke off', async () => {
    const { asked, read } = setUp((options, count) => {
      if (count !== 2) return Promise.resolve(streamed(slice(options)));
      const broken = new PassThrough();
      broken.write(slice(options).subarray(0, 3 * megabyte));
      setTimeout(() => broken.destroy(new ReplicationError('unreachable', 'reset')), 20);
      return Promise.resolve(broken);
    });
    expect((await read()).equals(content)).toBe(true);
    const second = asked[1]?.range?.start ?? 0;
    expect(asked.filter(({ range }) => range?.start === second)).toHaveLength(1);
    expect(asked.some(({ range }) => (range?.start ?? 0) > second && range?.end === second + 8 * megabyte - 1)).toBe(
      true,
    );
  });

  it('fails with what the source says when a part does not come', async () => {
    const { asked, read } = setUp((options, count) =>
      count === 4
        ? Promise.reject(new ReplicationError('denied', 'no entry'))
        : Promise.resolve(streamed(slice(options))),
    );
    await expect(read()).rejects.toMatchObject({ code: 'denied', side: 'source' });
    expect(asked.length).toBeLessThan(12);
  });

  it('reads the whole from a source that does not send parts, and asks it for none again', async () => {
    const { asked, read } = setUp((options) =>
      options.range === undefined
        ? Promise.resolve(streamed(content))
        : Promise.reject(new ReplicationError('unsupported', 'no parts')),
    );
    expect((await read()).equals(content)).toBe(true);
    expect((await read()).equals(content)).toBe(true);
    expect(asked.map(({ range }) => range !== undefined)).toEqual([true, false, false]);
  });

  it('finds a wrong byte in any part', async () => {
    const { read } = setUp((options) => {
      const bytes = Buffer.from(slice(options));
      if (options.range?.start === 16 * megabyte) bytes.writeUInt8((bytes.readUInt8(5) + 1) % 256, 5);
      return Promise.resolve(streamed(bytes));
    });
    await expect(read()).rejects.toMatchObject({ code: 'corrupt', side: 'source' });
  });
});

it('a small blob that is kept holds on to nothing else that was read with it', async () => {
  const read = Buffer.alloc(256 * 1024, 'others');
  const content = Buffer.from('configuration');
  const part = read.subarray(1_000, 1_000 + content.copy(read, 1_000));
  const store: ReadStore = { ...memoryStore('source'), openBlob: () => Promise.resolve(Readable.from([part])) };
  const slots = createSlots(24, 16);
  const reader = createBlobReader({ slots, signal, onBytes: () => undefined, onRetry: () => undefined });
  const descriptor: Descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(content), size: content.length };
  const bytes = await reader.whole({ store, repository: 'app', openUrl: undefined }, descriptor);
  expect(bytes).toEqual(content);
  // Node's own pool for small buffers.
  expect(bytes.buffer.byteLength).toBeLessThanOrEqual(8_192);
});

describe('spool', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'spool-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const bytes = randomBytes(3 * megabyte);
  const digest = digestOf(bytes);

  it('lets readers follow while it is filled, from the first byte on, each at its own pace', async () => {
    const entry = createSpool(join(folder, 'follow'), 10 * megabyte).reserve(digest, bytes.length);
    const source = new PassThrough();
    const early = entry?.read();
    const filled = entry?.fill(source);
    const first = new Promise<number>((resolve) => early?.once('data', (chunk: Buffer) => resolve(chunk.length)));
    source.write(bytes.subarray(0, megabyte));
    expect(await first).toBeGreaterThan(0);
    const late = entry?.read();
    source.end(bytes.subarray(megabyte));
    await filled;
    expect(late !== undefined && (await buffer(late)).equals(bytes)).toBe(true);
    await entry?.drop();
  });

  it('fails its readers with what the source fails with', async () => {
    const entry = createSpool(join(folder, 'fail'), 10 * megabyte).reserve(digest, bytes.length);
    const source = new PassThrough();
    const filled = entry?.fill(source);
    const reading = entry === undefined ? Promise.resolve() : buffer(entry.read());
    source.write(bytes.subarray(0, megabyte));
    setTimeout(() => source.destroy(new ReplicationError('unreachable', 'gone')), 20);
    await expect(filled).rejects.toMatchObject({ code: 'unreachable' });
    await expect(reading).rejects.toMatchObject({ code: 'unreachable' });
    await entry?.drop();
  });

  it('refuses what does not fit, and gives room back', async () => {
    const spool = createSpool(join(folder, 'bound'), 4 * megabyte);
    const entry = spool.reserve(digest, bytes.length);
    expect(spool.reserve(digestOf(Buffer.from('x')), 2 * megabyte)).toBeUndefined();
    await entry?.drop();
    expect(spool.reserve(digestOf(Buffer.from('x')), 2 * megabyte)).toBeDefined();
    await spool.close();
  });
});
