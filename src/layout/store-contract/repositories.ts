import { expect, it } from 'vitest';
import { digestOf } from '../../model/digest.ts';
import { ReplicationError } from '../../model/errors.ts';
import { blobOf, noise } from './content.ts';
import type { Suite } from './suite.ts';

/** What is not there, what is made, and what is told to stop. */
export function repositoryTests(suite: Suite): void {
  const { signal, image } = suite;
  it('says not-found for what it never got, with host and reference', async () => {
    const absent = digestOf('absent');
    for (const ask of [
      () => suite.store.resolve('absent/repository', 'latest', signal),
      () => suite.store.resolve('absent/repository', absent, signal),
      () => suite.store.readManifest('absent/repository', 'latest', signal),
      () => suite.store.readManifest('absent/repository', absent, signal),
      () => suite.store.listTags('absent/repository', signal),
      () => suite.store.openBlob('absent/repository', blobOf(Buffer.from('absent')), { signal }),
    ]) {
      const error = await ask().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'not-found', host: suite.store.name });
      expect(error).toHaveProperty('reference', expect.stringContaining('absent/repository'));
    }
    await suite.store.ensureRepository('present/repository', signal);
    await expect(suite.store.resolve('present/repository', 'latest', signal)).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('creates a repository once, however often it is asked to', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => suite.store.ensureRepository('ensured/once', signal)));
    expect(answers.filter((answer) => answer === 'created').length).toBeLessThanOrEqual(1);
    expect(await suite.store.ensureRepository('ensured/once', signal)).toBe('existing');
  });

  it('stops when it is told to', async () => {
    const stopped = AbortSignal.abort(new ReplicationError('cancelled', 'told to stop'));
    const content = await image('manifests/stopped', noise(10, 16));
    for (const ask of [
      () => suite.store.resolve('manifests/stopped', 'latest', stopped),
      () => suite.store.readManifest('manifests/stopped', 'latest', stopped),
      () => suite.store.openBlob('manifests/stopped', blobOf(noise(10, 16)), { signal: stopped }),
      () => suite.store.missingBlobs('manifests/stopped', [blobOf(noise(10, 17))], stopped),
      () => suite.store.writeManifest('manifests/stopped', 'latest', content, stopped),
    ]) {
      await expect(ask()).rejects.toThrow();
    }
    await expect(suite.store.resolve('manifests/stopped', 'latest', signal)).rejects.toMatchObject({
      code: 'not-found',
    });
  });
}
