import { describe, expect, it } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { digestOf } from '../model/digest.ts';
import type { Lock, LockedChart, LockedImage } from '../model/lock.ts';
import { lockObject, lockText, parseLock, readLock } from './lock.ts';

const image: LockedImage = {
  source: 'quay.io/team/web:1',
  digest: digestOf('web'),
  platforms: 'all',
  contains: ['linux/amd64'],
  targets: ['registry.example:5000/app-quay.io/team/web:1'],
  origins: ['charts.web.images.main'],
  mediaType: 'application/vnd.oci.image.index.v1+json',
  size: 12,
  referrers: [],
};
const chart: LockedChart = {
  key: 'web',
  name: 'web',
  version: '1.0.0',
  source: { repository: 'https://charts.example.com', version: '1.0.0', digest: digestOf('chart') },
  target: 'registry.example:5000/app-charts/web:1.0.0',
  digest: digestOf('chart'),
  values: { b: { z: 1, a: [{ y: 2, x: 1 }] }, a: null },
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  size: 3,
  referrers: [],
};
const lock: Lock = {
  kind: 'image-replication/lock',
  version: 1,
  job: 'eks',
  target: 'registry.example:5000/',
  images: [image],
  charts: [chart],
};

/** The message with which a changed lock is refused. */
async function refused(change: (text: string) => string): Promise<string> {
  const error = await refusal(() => parseLock(change(lockText(lock)), 'a/replication.lock.json'));
  expect(error.code).toBe('configuration');
  expect(error.message).toContain('a/replication.lock.json: ');
  expect(error.remedy).toBeDefined();
  return error.message;
}
const with_ = (change: object) => (): string => JSON.stringify({ ...lock, ...change });

describe('the lock as a file', () => {
  it('is the same text whatever the order of its keys, values of charts included, and can be read back', () => {
    const turned = Object.fromEntries(Object.entries(lock).reverse()) as Lock;
    const values = { a: null, b: { a: [{ x: 1, y: 2 }], z: 1 } };
    expect(lockText({ ...turned, charts: [{ ...chart, values }] })).toBe(lockText(lock));
    expect(parseLock(lockText(lock), 'x')).toEqual(lock);
    expect(lockText(lock)).toMatch(/^\{\n {2}"charts": \[\n[^]*\n\}\n$/);
  });

  it('is an object beside the result, which names it with its digest', () => {
    const body = lockText(lock);
    const key = 'dev-group-replication-metadata.lock.json';
    expect(lockObject('dev-group-replication-metadata.json', lock)).toEqual({
      key,
      body,
      reference: { s3_object: key, digest: digestOf(body) },
    });
  });

  it('that cannot be read is named', async () => {
    const error = await refusal(readLock('/nowhere/replication.lock.json'));
    expect([error.code, error.message]).toEqual(['usage', expect.stringContaining('/nowhere/replication.lock.json')]);
  });

  it('that is no JSON, no lock, or of a later version is refused', async () => {
    expect(await refused(() => '{')).toContain('it is not JSON');
    expect(await refused(() => 'null')).toContain('it is no lock');
    expect(await refused(() => '{"ami":{},"charts":{}}')).toContain('it is no lock');
    expect(await refused(with_({ version: 2 }))).toContain('has the version 2');
  });

  it('with the marks of a merge conflict names their line', async () => {
    expect(await refused((text) => text.replace('  "job"', '<<<<<<< HEAD\n  "job"'))).toMatch(
      /line \d+ has the mark of a merge conflict/,
    );
  });

  it.each([
    ['images[0].digest: is no digest', { images: [{ ...image, digest: 'sha256:1' }] }],
    ['images[0].source: "Web:1" is not an image reference', { images: [{ ...image, source: 'Web:1' }] }],
    ['images[0].targets: ', { images: [{ ...image, targets: [] }] }],
    ['images[0].targets[0]: is no host/repository:tag', { images: [{ ...image, targets: ['web'] }] }],
    ['charts[0].source.version: ', { charts: [{ ...chart, source: { ...chart.source, version: undefined } }] }],
    ['the document: Unrecognized key: "more"', { more: 1 }],
    ['does not begin with elsewhere/', { target: 'elsewhere/' }],
  ])('says where it is wrong: %s', async (text, change) => {
    expect(await refused(with_(change))).toContain(text);
  });

  it('with one name for two digests, as a merge by hand makes it, is refused', async () => {
    const other = { ...image, source: 'quay.io/team/web:2', digest: digestOf('other') };
    expect(await refused(with_({ images: [image, other] }))).toContain(
      'images[1].targets[0]: registry.example:5000/app-quay.io/team/web:1 has two digests',
    );
  });
});
