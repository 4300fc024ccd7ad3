import type { LoggedRequest } from '../../src/testing/request-log.ts';
import type { RegistryServer } from '../../src/testing/registry-server.ts';
import type { World } from './world.ts';

/** Classes of requests that move content or change something. */
const writing = ['upload-start', 'mount', 'upload-put', 'upload-patch', 'manifest-put'] as const;
const reading = ['blob-get', 'storage-get'] as const;

/** What was written to a registry: `class repository reference`, sorted. Charts push nothing either when unchanged. */
export function writes(server: RegistryServer): readonly string[] {
  return server.requests
    .of((entry) => writing.some((each) => each === entry.class))
    .map((entry) => [entry.class, entry.repository, entry.reference].join(' '))
    .sort();
}

/** How many layers and configs were read from all sources. */
export function blobReads(world: World): number {
  return [...world.registries.values()].reduce(
    (sum, server) => sum + server.requests.count((entry) => reading.some((each) => each === entry.class)),
    0,
  );
}

/** Uploads that ended well: `repository digest`. */
export function completedUploads(server: RegistryServer): readonly string[] {
  return server.requests
    .of((entry) => entry.class === 'upload-put' && entry.status === 201)
    .map((entry) => `${entry.repository ?? ''} ${uploadedDigest(entry)}`)
    .sort();
}

export function uploadedDigest({ path }: LoggedRequest): string {
  return new URL(path, 'http://server').searchParams.get('digest') ?? '';
}

/** Forgets every log and fault of the world; content stays. */
export function forget(world: World): void {
  for (const server of [world.ecr, ...world.registries.values()]) server.reset();
  for (const server of world.charts.values()) {
    server.requests.reset();
    server.faults.clear();
  }
  world.s3.requests.length = 0;
}
