import { isDigest } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import { inWriteOrder, type ManifestNode } from './graph.ts';
import type { PreparedReferrer } from './prepared.ts';
import type { FoundReferrer } from './referrers.ts';
import { type CopyRequest, placeName } from './request.ts';
import type { SourceReader } from './source-reader.ts';
import type { TargetStates } from './target-state.ts';

/** A signature over an SBOM over a signature …: further than this nobody signs, and a hostile source would go on for ever. */
const maxReferrerDepth = 4;
/** Referrers of one image, all levels together. */
const maxReferrers = 1_000;

interface Places {
  readonly source: SourceReader;
  readonly targets: TargetStates;
}

/** What refers to an image, and to that in turn, with what the targets lack of it. @throws ReplicationError */
export function prepareReferrers(
  places: Places,
  request: CopyRequest,
  root: ManifestNode,
): Promise<readonly PreparedReferrer[]> {
  return prepareLevel(places, request, root, new Set(), 0);
}

/** Whether a target lacks a referrer, or holds another one under its tag. */
export async function lacksReferrer(
  { source, targets }: Places,
  request: CopyRequest,
  reference: string,
): Promise<boolean> {
  const wanted = isDigest(reference) ? reference : await source.digestOf(request, reference);
  const held = await Promise.all(request.targets.map((place) => targets.current({ ...place, reference }, 'all')));
  return held.some((each) => each?.digest !== wanted);
}

async function prepareLevel(
  places: Places,
  request: CopyRequest,
  root: ManifestNode,
  seen: Set<string>,
  depth: number,
): Promise<readonly PreparedReferrer[]> {
  if (depth > maxReferrerDepth) return [];
  const subjects = inWriteOrder(root).map((node) => node.content.descriptor.digest);
  const found = await places.source.referrers(request, subjects);
  const fresh = found.filter(({ reference }) => !seen.has(reference) && seen.add(reference));
  if (seen.size > maxReferrers) throw tooMany(request);
  const branches = await Promise.all(
    fresh.map(async (each) => {
      const own = await prepareOne(places, request, each);
      // Referrers may have referrers (a signature over an SBOM).
      return [own, ...(await prepareLevel(places, request, own.graph.root, seen, depth + 1))];
    }),
  );
  return branches.flat();
}

async function prepareOne(
  { source, targets }: Places,
  request: CopyRequest,
  { reference, subject, by }: FoundReferrer,
): Promise<PreparedReferrer> {
  const { store, repository } = request.source;
  const root = await source.graph(request, reference);
  const written = await Promise.all(
    request.targets.map((place) => {
      const at = { store: place.store, repository: place.repository, reference };
      return targets.prepare(at, root, { hasContent: false, repair: request.repair === true });
    }),
  );
  return { graph: { source: { store, repository, reference }, root, targets: written }, subject, reference, by };
}

function tooMany(request: CopyRequest): ReplicationError {
  return new ReplicationError(
    'refused',
    `more than ${maxReferrers} signatures and other referrers belong to ${request.artifact}`,
    {
      side: 'source',
      reference: placeName(request.source),
      host: request.source.store.name,
      remedy: 'remove referrers that nobody needs at the source',
    },
  );
}
