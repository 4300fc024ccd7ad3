import pLimit from 'p-limit';
import type { Digest } from '../model/digest.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { blobsOf, inWriteOrder, loadGraph } from './graph.ts';
import { placeName, type TargetPlace } from './request.ts';

/** What the target has to hold: one digest under one or more references. */
export interface Expectation {
  readonly artifact: string;
  readonly digest: Digest;
  readonly targets: readonly TargetPlace[];
}

/** One artifact that the target does not hold as expected. `repairable`: copying it again can mend it. */
export interface Mismatch {
  readonly artifact: string;
  /** The very one that was passed in: two artifacts may have one name. */
  readonly expectation: Expectation;
  readonly error: ReplicationError;
  readonly repairable: boolean;
}

export interface VerifyOptions {
  readonly signal: AbortSignal;
  /** Artifacts checked at the same time. Default 32. */
  readonly lookups?: number;
}

/**
 * Asks the target itself whether it holds everything: the digest under each reference, every manifest below it (read and
 * verified), every blob. Nothing that the copy believes is taken for granted: lifecycle policies and other programs
 * may have removed parts since. Blobs are asked about per repository, in batches where the store can.
 */
export async function verifyArtifacts(
  expectations: readonly Expectation[],
  options: VerifyOptions,
): Promise<readonly Mismatch[]> {
  const limit = pLimit(options.lookups ?? 32);
  const wanted = new Map<WriteStore, Map<string, Map<Digest, WantedBlob>>>();
  const found = await Promise.all(
    expectations.flatMap((expectation) =>
      expectation.targets.map((target) =>
        limit(async (): Promise<Mismatch | undefined> => {
          try {
            collect(wanted, expectation, target, await manifestsAtTarget(expectation, target, options.signal));
            return undefined;
          } catch (error) {
            const known = toReplicationError(error, {
              side: 'target',
              reference: placeName(target),
              host: target.store.name,
              digest: expectation.digest,
            });
            return {
              artifact: expectation.artifact,
              expectation,
              error: known,
              repairable: isReplicationError(known, 'not-found', 'corrupt'),
            };
          }
        }),
      ),
    ),
  );
  const blobs = await Promise.all(
    [...wanted].flatMap(([store, repositories]) =>
      [...repositories].map(([repository, needed]) =>
        limit(() => missingAt(store, repository, needed, options.signal)),
      ),
    ),
  );
  return [...found.filter((each) => each !== undefined), ...blobs.flat()];
}

interface WantedBlob {
  readonly descriptor: Descriptor;
  readonly expectations: Set<Expectation>;
}

async function manifestsAtTarget(
  expectation: Expectation,
  target: TargetPlace,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const root = await loadGraph(target.store satisfies ReadStore, target.repository, target.reference, 'all', signal);
  const actual = root.content.descriptor.digest;
  if (actual !== expectation.digest) {
    throw new ReplicationError('corrupt', `the target holds ${actual} instead of ${expectation.digest}`, {
      remedy: 'run again; if it stays, another program writes the same tag',
    });
  }
  const foreign = new Set(inWriteOrder(root).flatMap((node) => [...node.foreign]));
  return blobsOf(root).filter((blob) => !foreign.has(blob.digest));
}

function collect(
  wanted: Map<WriteStore, Map<string, Map<Digest, WantedBlob>>>,
  expectation: Expectation,
  target: TargetPlace,
  blobs: readonly Descriptor[],
): void {
  const repositories = wanted.get(target.store) ?? new Map<string, Map<Digest, WantedBlob>>();
  wanted.set(target.store, repositories);
  const needed = repositories.get(target.repository) ?? new Map<Digest, WantedBlob>();
  repositories.set(target.repository, needed);
  for (const descriptor of blobs) {
    const entry = needed.get(descriptor.digest) ?? { descriptor, expectations: new Set<Expectation>() };
    entry.expectations.add(expectation);
    needed.set(descriptor.digest, entry);
  }
}

async function missingAt(
  store: WriteStore,
  repository: string,
  needed: ReadonlyMap<Digest, WantedBlob>,
  signal: AbortSignal,
): Promise<readonly Mismatch[]> {
  const all = [...needed.values()];
  let missing: ReadonlySet<Digest>;
  try {
    missing = await store.missingBlobs(
      repository,
      all.map((each) => each.descriptor),
      signal,
    );
  } catch (error) {
    const known = toReplicationError(error, {
      side: 'target',
      reference: `${store.name}/${repository}`,
      host: store.name,
    });
    return [...new Set(all.flatMap((each) => [...each.expectations]))].map((expectation) => ({
      artifact: expectation.artifact,
      expectation,
      error: known,
      repairable: false,
    }));
  }
  return all
    .filter((each) => missing.has(each.descriptor.digest))
    .flatMap(({ descriptor, expectations }) =>
      [...expectations].map((expectation) => ({
        artifact: expectation.artifact,
        expectation,
        repairable: true,
        error: new ReplicationError(
          'not-found',
          `the blob ${descriptor.digest} (${descriptor.size} bytes) is missing in ${store.name}/${repository}`,
          {
            side: 'target',
            reference: `${store.name}/${repository}`,
            host: store.name,
            digest: descriptor.digest,
          },
        ),
      })),
    );
}
