import { isReplicationError } from '../model/errors.ts';
import type { ManifestContent } from '../model/manifest.ts';
import type { WriteStore } from '../model/store.ts';
import { inWriteOrder, type ManifestNode } from './graph.ts';
import { storeMemo } from './store-memo.ts';

/** Writes manifests bottom-up, each digest once per repository and each tag once, however many artifacts share them. */
export interface ManifestWriter {
  /**
   * Writes a graph under a reference; its blobs must be there. Children go by digest, the top under the reference itself
   * (its digest comes with it, so that the one PUT does both).
   * @param skip digests of children that the repository holds already
   */
  write(
    store: WriteStore,
    repository: string,
    reference: string,
    root: ManifestNode,
    skip: ReadonlySet<string>,
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

  const writeBelow = async (
    store: WriteStore,
    repository: string,
    node: ManifestNode,
    skip: ReadonlySet<string>,
  ): Promise<void> => {
    await Promise.all(
      node.children
        .filter((child) => !skip.has(child.content.descriptor.digest))
        .map(async (child) => {
          await writeBelow(store, repository, child, skip);
          await once(store, repository, child.content.descriptor.digest, child.content);
        }),
    );
  };

  return {
    totals,
    async write(store, repository, reference, root, skip) {
      await writeBelow(store, repository, root, skip);
      await once(store, repository, reference, root.content);
    },
    forget(store, repository, root) {
      for (const node of inWriteOrder(root)) written.delete(store, `${repository} ${node.content.descriptor.digest}`);
    },
  };
}
