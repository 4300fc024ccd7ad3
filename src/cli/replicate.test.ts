import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { memoryStore } from '../layout/memory.ts';
import { digestOf } from '../model/digest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { replicate } from './replicate.ts';
import { openSession } from './session.ts';

it('tells two artifacts of one name apart: each target is verified against its own source', async () => {
  const signal = new AbortController().signal;
  const target = memoryStore('target');
  const images = [];
  for (const repository of ['one', 'two']) {
    const source = memoryStore(repository);
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], annotations: { repository } }),
    );
    const descriptor = { mediaType: mediaTypes.ociIndex, digest: digestOf(bytes), size: bytes.length };
    await source.writeManifest(repository, '1', { bytes, descriptor }, signal);
    images.push({
      artifact: 'chart same 1.0.0',
      source: { store: source, repository, reference: '1' },
      targets: [{ store: target, repository: `mirror/${repository}`, reference: '1' }],
      platforms: 'all' as const,
    });
  }
  const session = await openSession({ env: {}, stdout: new Writable({ write: (_chunk, _encoding, done) => done() }) });
  try {
    const { outcomes, failures } = await replicate(session, { images, charts: [], verify: true });
    expect(failures).toEqual([]);
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(['copied', 'copied']);
  } finally {
    await session.close();
  }
});
