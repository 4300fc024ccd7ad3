import { isReplicationError } from '../model/errors.ts';
import type { ManifestContent } from '../model/manifest.ts';
import type { WriteStore } from '../model/store.ts';
import { inWriteOrder, type ManifestNode } from './graph.ts';
import { storeMemo } from './store-memo.ts';

/** Writes manifests bottom-up, each digest once per repository and each tag once, however many artifacts share them. */
export interface ManifestWriter {
  /**
   * Writes a graph under a reference, each manifest as soon as its blobs are there. Children go by digest, the top under
   * the reference itself (its digest comes with it, so that the one PUT does both).
   * @param skip digests of children that the repository holds already
   * @param ready ends when the node's own blobs are there
   */
  write(
    store: WriteStore,
    repository: string,
    reference: string,
    root: ManifestNode,
    skip: ReadonlySet<string>,
    ready: (node: ManifestNode) => Promise<unknown>,
  ): Promise<void>;
  /** Forgets what was written of a graph, so that it is written again. */
  forget(store: WriteStore, repository: string, root: ManifestNode): void;
  readonly totals: { manifestsWritten: number };
}

export function createManifestWriter(options: {
  readonly signal: AbortSignal;
  readonly onBytes: (count: number) => void;
}): ManifestWriter {
  const written = storeMemo<true>();
  const totals = { manifestsWritten: 0 };

  /** An immutable tag is refused even where it names this digest already: another run wrote it, or our own write whose answer was lost. */
  const put = async (
    store: WriteStore,
    repository: string,
    reference: string,
    content: ManifestContent,
  ): Promise<void> => {
    try {
      await store.writeManifest(repository, reference, content, options.signal);
    } catch (error) {
      if (!isReplicationError(error, 'conflict')) throw error;
      const held = await store.resolve(repository, reference, options.signal).catch(() => undefined);
      if (held?.digest !== content.descriptor.digest) throw error;
    }
  };

  const once = (store: WriteStore, repository: string, reference: string, content: ManifestContent): Promise<true> =>
    written.get(store, `${repository} ${reference}`, async () => {
      await put(store, repository, reference, content);
      totals.manifestsWritten += 1;
      options.onBytes(content.bytes.length);
      return true;
    });

  return {
    totals,
    async write(store, repository, reference, root, skip, ready) {
      const writeBelow = async (node: ManifestNode): Promise<void> => {
        const children = node.children.filter((child) => !skip.has(child.content.descriptor.digest));
        // All of them end before the first failure is told: nothing of a failed artifact is written later.
        const ended = await Promise.allSettled(
          children.map(async (child) => {
            await Promise.all([writeBelow(child), ready(child)]);
            await once(store, repository, child.content.descriptor.digest, child.content);
          }),
        );
        for (const each of ended) if (each.status === 'rejected') throw each.reason;
      };
      await Promise.all([writeBelow(root), ready(root)]);
      await once(store, repository, reference, root.content);
    },
    forget(store, repository, root) {
      for (const node of inWriteOrder(root)) written.delete(store, `${repository} ${node.content.descriptor.digest}`);
    },
  };
}
