import pLimit from 'p-limit';
import { blobsOf, inWriteOrder, loadGraph } from '../copy/graph.ts';
import { type CopyRequest, placeName } from '../copy/request.ts';
import { toReplicationError } from '../model/errors.ts';
import { type Failure, failureOf } from '../model/result.ts';
import { counted, formatBytes, formatCount } from '../report/format.ts';
import type { Session } from './session.ts';

/** What copying would take, at most: nothing of it is known to be at the target. Bytes are bytes. */
export interface Estimate {
  /** To be read from the sources, each blob once. */
  readonly bytes: number;
  /** To be kept at the target: each repository keeps its own copy of a blob. */
  readonly storage: number;
  readonly sourceRequests: number;
  readonly targetRequests: number;
  /** Manifests that are read from Docker Hub, which counts them as pulls. */
  readonly dockerHubPulls: number;
  /** Images that could not be looked at. */
  readonly failures: readonly Failure[];
}

const atOnce = 12;

/** Docker Hub, "Usage and limits": pulls in six hours, without login and with a personal account. HEAD does not count. */
const dockerHubLimits = { anonymous: 100, personal: 200 } as const;

/** Reads the manifests of what is to be copied, and counts. */
async function estimateCopy(requests: readonly CopyRequest[], signal: AbortSignal): Promise<Estimate> {
  const limit = pLimit(atOnce);
  const blobs = new Map<string, number>();
  const kept = new Map<string, number>();
  const failures: Failure[] = [];
  let [manifests, written, dockerHubPulls] = [0, 0, 0];
  const look = async ({ artifact, source, targets, platforms }: CopyRequest): Promise<void> => {
    try {
      const root = await loadGraph(source.store, source.repository, source.reference, platforms, signal);
      const nodes = inWriteOrder(root);
      manifests += nodes.length;
      written += nodes.length * targets.length;
      if (source.store.name === 'docker.io') dockerHubPulls += nodes.length;
      for (const { digest, size } of blobsOf(root)) {
        blobs.set(digest, size);
        for (const place of targets) kept.set(`${place.store.name}/${place.repository} ${digest}`, size);
      }
    } catch (error) {
      const reference = placeName(source);
      failures.push(
        failureOf(artifact, toReplicationError(error, { side: 'source', reference, host: source.store.name })),
      );
    }
  };
  await Promise.all(requests.map((request) => limit(() => look(request))));
  return {
    bytes: sum(blobs.values()),
    storage: sum(kept.values()),
    sourceRequests: manifests + blobs.size,
    // Each blob is an upload begun (or mounted) and ended, each manifest one request.
    targetRequests: written + 2 * kept.size,
    dockerHubPulls,
    failures,
  };
}

/** Tells what copying would take. @returns failures of images that could not be looked at */
export async function tellEstimate(session: Session, requests: readonly CopyRequest[]): Promise<readonly Failure[]> {
  const estimate = await estimateCopy(requests, session.signal);
  for (const message of estimateLines(estimate)) session.reporter.emit({ type: 'notice', level: 'info', message });
  return estimate.failures;
}

function estimateLines(estimate: Estimate): readonly string[] {
  const { bytes, storage, sourceRequests, targetRequests, dockerHubPulls: pulls } = estimate;
  const { anonymous, personal } = dockerHubLimits;
  return [
    `to read: ${formatBytes(bytes)} at most; to keep at the destination: ${formatBytes(storage)} at most`,
    `requests: ${formatCount(sourceRequests)} to sources, ${formatCount(targetRequests)} to the destination, at most`,
    ...(pulls === 0
      ? []
      : [
          `docker.io counts ${counted(pulls, 'pull')}: ${pulls > anonymous ? 'more than' : 'within'} the ${anonymous} of six hours without login, ${pulls > personal ? 'more than' : 'within'} the ${personal} of a personal account`,
        ]),
  ];
}

function sum(values: Iterable<number>): number {
  return [...values].reduce((total, value) => total + value, 0);
}
