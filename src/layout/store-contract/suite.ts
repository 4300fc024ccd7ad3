import { setMaxListeners } from 'node:events';
import { afterEach, beforeEach } from 'vitest';
import type { Descriptor, ManifestContent } from '../../model/manifest.ts';
import type { WriteStore } from '../../model/store.ts';
import { blobOf, imageOf, inPieces } from './content.ts';

/** An empty store, and how it is ended. */
export interface MadeStore {
  readonly store: WriteStore;
  readonly close?: () => Promise<void>;
}

/** The store under test, a new one for each test, and what most tests do first. */
export interface Suite {
  readonly store: WriteStore;
  readonly signal: AbortSignal;
  readonly upload: (repository: string, bytes: Uint8Array, descriptor?: Descriptor) => Promise<void>;
  /** An image with one layer, its blobs uploaded. */
  readonly image: (repository: string, layer: Uint8Array, extra?: object) => Promise<ManifestContent>;
}

/** Makes a store before each test of the `describe` that this stands in, each time that it is tried, and closes it behind it. */
export function openSuite(makeStore: () => Promise<MadeStore>): Suite {
  let made: MadeStore | undefined;
  const signal = new AbortController().signal;
  // One signal for a whole run has as many listeners as requests are under way.
  setMaxListeners(0, signal);
  beforeEach(async () => {
    made = await makeStore();
  });
  afterEach(async () => {
    await made?.close?.();
    made = undefined;
  });
  const suite: Suite = {
    get store() {
      if (made === undefined) throw new Error('the store is made before each test, not before');
      return made.store;
    },
    signal,
    async upload(repository, bytes, descriptor = blobOf(bytes)) {
      const { store } = suite;
      const start = await store.startUpload(repository, descriptor.digest, undefined, signal);
      if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, inPieces(bytes), signal);
    },
    async image(repository, layer, extra = {}) {
      const config = Buffer.from('{}');
      await suite.store.ensureRepository(repository, signal);
      for (const bytes of [config, layer]) await suite.upload(repository, bytes);
      return imageOf(config, layer, extra);
    },
  };
  return suite;
}
