import { setMaxListeners } from 'node:events';
import pLimit from 'p-limit';
import type { CopyResult, Outcome } from '../model/result.ts';
import { BlobMover } from './blob-mover.ts';
import { announceBlobs, copyArtifact, failed, missingBytes, type Work } from './copy-artifact.ts';
import { createManifestWriter } from './manifest-writer.ts';
import { Preparer } from './prepare.ts';
import { type CopyOptions, type CopyRequest, placeName } from './request.ts';
import { asError, type Run } from './run.ts';
import { createSlots } from './slots.ts';
import { watchTime } from './spent.ts';
import { createSpool } from './spool.ts';
import { startInOrder } from './start-order.ts';

/**
 * Copies artifacts: asks what has to be copied, then moves every unique blob once, and writes manifests bottom-up as
 * soon as their blobs are there. One artifact's failure does not stop the others; nothing is thrown but defects.
 */
export async function copyArtifacts(requests: readonly CopyRequest[], options: CopyOptions): Promise<CopyResult> {
  const started = performance.now();
  const { counters, reporter } = options;
  const spent = watchTime(counters);
  const readBefore = counters.readBytes;
  const writtenBefore = counters.writtenBytes;
  counters.artifactsTotal += requests.length;
  // One signal stops the whole run: everything under way listens to it, which is no leak.
  setMaxListeners(0, options.signal);
  const spool = createSpool(options.spoolDirectory, options.spoolBytes ?? 4 * 2 ** 30);
  const mover = new BlobMover({
    slots: createSlots(options.transfers ?? 24, options.transfersPerHost ?? 16, options.admission),
    stores: new Set(requests.flatMap((request) => request.targets.map((target) => target.store))),
    spool,
    counters,
    signal: options.signal,
    onRetry: (host, what, reason, delaySeconds, attempt) =>
      reporter.emit({ type: 'retry', host, what, reason, delaySeconds, attempt }),
  });
  const writer = createManifestWriter({
    signal: options.signal,
    onBytes: (count) => {
      counters.expectedBytes += count;
      counters.writtenBytes += count;
    },
  });
  const run: Run = { options, mover, writer, notices: [] };
  try {
    const outcomes = await copyAll(requests, run);
    return {
      outcomes,
      notices: run.notices,
      totals: {
        ...mover.totals,
        ...writer.totals,
        bytesRead: counters.readBytes - readBefore,
        bytesWritten: counters.writtenBytes - writtenBefore,
        seconds: (performance.now() - started) / 1000,
        spent: spent(),
      },
    };
  } finally {
    await spool.close();
  }
}

async function copyAll(requests: readonly CopyRequest[], run: Run): Promise<readonly Outcome[]> {
  const { options } = run;
  const preparer = new Preparer(requests, options);
  const lookup = pLimit(options.lookups ?? 48);
  const finish = (outcome: Outcome): Outcome => {
    options.counters.artifactsDone += 1;
    options.reporter.emit({ type: 'artifact-finished', outcome });
    return outcome;
  };
  const prepare = async (request: CopyRequest): Promise<Work | Outcome> => {
    try {
      options.signal.throwIfAborted();
      options.admission?.throwIfAborted();
      const result = await preparer.prepare(request);
      if (result.kind === 'copy') return { kind: 'work', request, copy: result, bytes: missingBytes(result) };
      const { artifact, targets } = request;
      return finish({ kind: 'unchanged', artifact, targets: targets.map(placeName), digest: result.digest });
    } catch (error) {
      return finish(failed(request, [asError(error, run)]));
    }
  };
  return startInOrder(
    requests.map((request) => lookup(() => prepare(request))),
    {
      patienceMs: options.lookupPatienceMs ?? Math.max(10_000, requests.length * 20),
      announce: (works) => {
        for (const work of works) announceBlobs(run, work);
      },
      start: async (work, moved) => finish(await copyArtifact(work, run, moved)),
      settled: () => run.mover.allAnnounced(),
    },
  );
}
