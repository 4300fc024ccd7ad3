import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, type Digest } from '../../model/digest.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { Descriptor, ManifestContent } from '../../model/manifest.ts';
import { mediaTypes } from '../../model/media-types.ts';
import type { WriteStore } from '../../model/store.ts';
import { newProgressCounters, silentReporter } from '../../report/events.ts';
import { copyArtifacts } from '../copy.ts';

/**
 * A program for a test: copies so many images that are made while they are read to a target that keeps no bytes, and
 * prints as JSON how it went. What grows in memory is then the copier's own.
 */
const count = Number(process.argv[2]);
const layerBytes = 32 * 1024;

const blob = (name: string, mediaType: string): { readonly descriptor: Descriptor; readonly bytes: Buffer } => {
  const bytes = Buffer.alloc(layerBytes, name);
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
};
const blobsOf = (repository: string) => [
  blob(`config ${repository} `, mediaTypes.ociConfig),
  // A base for each hundred images.
  blob(`base ${repository.slice(0, -2)} `, mediaTypes.ociLayerGzip),
  blob(`own ${repository} `, mediaTypes.ociLayerGzip),
];
const manifestOf = (repository: string): ManifestContent => {
  const [config, ...layers] = blobsOf(repository).map(({ descriptor }) => descriptor);
  const json = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers };
  const bytes = Buffer.from(JSON.stringify(json));
  return { bytes, descriptor: { mediaType: mediaTypes.ociManifest, digest: digestOf(bytes), size: bytes.length } };
};

const held = new Set<string>();
const absent = (what: string): Promise<never> => Promise.reject(new ReplicationError('not-found', `no ${what}`));
const nothing = { listReferrers: () => Promise.resolve([]), listTags: () => Promise.resolve([]) };
const source: WriteStore = {
  name: 'source',
  mounting: 'never',
  ...nothing,
  resolve: (repository) => Promise.resolve(manifestOf(repository).descriptor),
  readManifest: (repository) => Promise.resolve(manifestOf(repository)),
  openBlob: (repository, { digest }) =>
    Promise.resolve(Readable.from(blobsOf(repository).flatMap((each) => (each.descriptor.digest === digest ? [each.bytes] : [])))), // prettier-ignore
  ensureRepository: () => absent('repository'),
  missingBlobs: () => absent('repository'),
  startUpload: () => absent('repository'),
  finishUpload: () => absent('repository'),
  writeManifest: () => absent('repository'),
};
const hold = (repository: string, digest: Digest): void => {
  held.add(`${repository}@${digest.slice(7, 23)}`);
};
const holds = (repository: string, digest: Digest): boolean => held.has(`${repository}@${digest.slice(7, 23)}`);
const target: WriteStore = {
  ...source,
  name: 'target',
  mounting: 'after-upload',
  resolve: (_repository, reference) => absent(reference),
  readManifest: (_repository, reference) => absent(reference),
  openBlob: () => absent('blob'),
  ensureRepository: () => Promise.resolve('existing'),
  missingBlobs: (repository, blobs) =>
    Promise.resolve(new Set(blobs.flatMap(({ digest }) => (holds(repository, digest) ? [] : [digest])))),
  startUpload(repository, digest, from) {
    if (from === undefined || !holds(from, digest))
      return Promise.resolve({ kind: 'upload', session: { repository, location: 'x' } });
    hold(repository, digest);
    return Promise.resolve({ kind: 'mounted' });
  },
  async finishUpload({ repository }, { digest }, body) {
    if (body instanceof Readable) await buffer(body);
    hold(repository, digest);
  },
  writeManifest(repository, _reference, { descriptor }) {
    hold(repository, descriptor.digest);
    return Promise.resolve();
  },
};

const requests = Array.from({ length: count }, (_, n) => {
  const repository = `team/app-${n}`;
  return {
    artifact: repository,
    source: { store: source, repository, reference: '1' },
    targets: [{ store: target, repository: `mirror/${repository}`, reference: '1' }],
    platforms: 'all' as const,
  };
});
const { outcomes, totals } = await copyArtifacts(requests, {
  reporter: silentReporter,
  counters: newProgressCounters(),
  signal: new AbortController().signal,
  spoolDirectory: join(tmpdir(), `many-images-${process.pid}`),
});
const copied = outcomes.filter(({ kind }) => kind === 'copied').length;
const { blobsRead, blobsMounted, manifestsWritten } = totals;
const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
process.stdout.write(`${JSON.stringify({ copied, blobsRead, blobsMounted, manifestsWritten, peakMiB })}\n`);
