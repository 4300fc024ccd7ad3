import type { CredentialSource } from '../model/credentials.ts';
import type { Digest } from '../model/digest.ts';
import type { RegistryControl, WriteStore } from '../model/store.ts';
import { missingByHead, openBlob } from './blobs.ts';
import { RegistryClient } from './client.ts';
import { listReferrers, listTags, type ReferrersSupport, tagPage } from './listings.ts';
import { readManifest, resolveManifest, writeManifest } from './manifests.ts';
import { recordReferrer, type TagQueues } from './referrers-tag.ts';
import type { Transport } from './transport.ts';
import { finishUpload, startUpload } from './uploads.ts';

export interface RegistryOptions {
  readonly credentials: CredentialSource;
  /** What the account's own interface can do better than the distribution API. */
  readonly control?: RegistryControl | undefined;
  /** Scheme and host where requests go, such as ECR's proxyEndpoint. Without it: https to the host (http to loopback). */
  readonly baseUrl?: string | undefined;
  /** Sends Basic with the first request, without waiting for a challenge: for hosts that the cloud's own interface named (ECR). */
  readonly authenticateFirst?: boolean | undefined;
  /** When blobs can be mounted (default `after-upload`). */
  readonly mounting?: WriteStore['mounting'] | undefined;
  /** Known limits, in requests per second. ECR: PutImage 10 a second with a burst of 10, per account and region. */
  readonly writesPerSecond?: { readonly manifest?: { readonly rate: number; readonly burst: number } } | undefined;
}

/**
 * A registry as a store (OCI distribution-spec v1.1), at a host as references write it: `quay.io`, `localhost:5000`,
 * `docker.io`. Make one per host and run: it keeps what it has learned about the registry, tokens among it.
 */
export function registryStore(transport: Transport, host: string, options: RegistryOptions): WriteStore {
  const client = new RegistryClient(transport, host, options);
  const { control } = options;
  const support: ReferrersSupport = { absent: false, present: false };
  const tagQueues: TagQueues = new Map();
  const manifestRate = options.writesPerSecond?.manifest;
  if (manifestRate !== undefined) client.limitRate('manifest-put', manifestRate.rate, manifestRate.burst);

  const missingBlobs: WriteStore['missingBlobs'] = async (repository, blobs, signal) => {
    const digests: Digest[] = [...new Set(blobs.map(({ digest }) => digest))];
    if (digests.length === 0) return new Set();
    const known = await control?.missingBlobs?.(repository, digests, signal);
    return known ?? missingByHead(client, repository, digests, signal);
  };

  return {
    name: host,
    mounting: options.mounting ?? 'after-upload',
    batchedExistence: control?.missingBlobs !== undefined,
    resolve: (repository, reference, signal) => resolveManifest(client, repository, reference, signal),
    readManifest: (repository, reference, signal) => readManifest(client, repository, reference, signal),
    openBlob: (repository, descriptor, how) => openBlob(client, repository, descriptor, how),
    listReferrers: (repository, digest, signal, how) =>
      listReferrers(client, support, repository, digest, signal, how?.fallbackTagAbsent === true),
    listTags: (repository, signal) => listTags(client, repository, signal),
    async firstTags(repository, signal) {
      const { tags, next } = await tagPage(client, repository, undefined, signal);
      return { tags, complete: next === undefined };
    },
    ensureRepository: async (repository, signal) => (await control?.ensureRepository(repository, signal)) ?? 'existing',
    missingBlobs,
    ...(control?.tagDigests === undefined ? {} : { tagDigests: control.tagDigests.bind(control) }),
    startUpload: (repository, digest, from, signal) => startUpload(client, repository, digest, from, signal),
    finishUpload: (session, descriptor, body, signal) => finishUpload(client, session, descriptor, body, signal),
    async writeManifest(repository, reference, content, signal) {
      const { subjectKept } = await writeManifest(client, repository, reference, content, signal);
      if (!subjectKept) await recordReferrer(client, support, tagQueues, repository, content, signal);
    },
  };
}
