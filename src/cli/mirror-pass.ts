import type { CopyRequest } from '../copy/request.ts';
import { placeName } from '../copy/request.ts';
import { type Failure, failureOf, type Outcome, type Totals } from '../model/result.ts';
import { type ImageResult, mirrorPass, sourceText, type WantedImage } from '../mirror/pass.ts';
import type { Tracking } from '../mirror/tracking.ts';
import type { MirrorSection } from '../sources/mirror/mirror-file.ts';
import { announceRequests } from './announce.ts';
import type { MirrorSettings } from './mirror-settings.ts';
import { type MirrorStores, openMirrorStores } from './mirror-stores.ts';
import { replicate } from './replicate.ts';
import type { Session } from './session.ts';

export interface MirrorRun {
  readonly failures: readonly Failure[];
  readonly totals: Totals | undefined;
  /** Names of the sections that were brought to an end, well or not. */
  readonly recorded: readonly string[];
}

/** Mirrors sections by the one copier that all jobs have, and remembers what came of it. */
export async function runMirrorPass(
  session: Session,
  settings: MirrorSettings,
  tracking: Tracking,
  sections: readonly MirrorSection[],
): Promise<MirrorRun> {
  const stores = await openMirrorStores(session, settings);
  let copied: { readonly failures: readonly Failure[]; readonly totals: Totals } | undefined;
  try {
    const result = await mirrorPass(sections, {
      tracking,
      target: settings.targetKey,
      root: `${stores.target.name}/${stores.path}`,
      listTags: ({ registry, repository }) => stores.source(registry).listTags(repository, session.signal),
      copy: async (images) => {
        const requests = mirrorRequests(images, stores);
        announce(session, stores, requests);
        const replication = await replicate(session, { images: requests, charts: [], verify: false });
        for (const message of replication.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
        copied = replication;
        return resultsOf(session, images, stores, replication.outcomes);
      },
      now: () => Date.now(),
      random: () => Math.random(),
    });
    const unresolved = result.unresolved.map(({ section, error }) => failureOf(`[${section}]`, error));
    for (const failure of unresolved) session.reporter.emit({ type: 'failed', failure });
    return {
      failures: [...unresolved, ...(copied?.failures ?? [])],
      totals: copied?.totals,
      recorded: result.sections.map(({ section }) => section),
    };
  } finally {
    await stores.close();
  }
}

/** One request for each source and choice of platforms, with all its names: it is asked about and read once. */
export function mirrorRequests(images: readonly WantedImage[], stores: MirrorStores): readonly CopyRequest[] {
  const requests = new Map<string, CopyRequest>();
  for (const image of images) {
    const key = JSON.stringify([sourceText(image), image.platforms]);
    const { registry, repository, tag } = image.source;
    const known = requests.get(key);
    const place = placeOf(image, stores);
    if (known?.targets.some((each) => placeName(each) === placeName(place)) === true) continue;
    requests.set(key, {
      artifact: sourceText(image),
      source: { store: stores.source(registry), repository, reference: tag },
      platforms: image.platforms,
      targets: [...(known?.targets ?? []), place],
    });
  }
  return [...requests.values()];
}

function placeOf(image: WantedImage, { target, path }: MirrorStores) {
  return { store: target, repository: path + image.target, reference: image.source.tag };
}

function announce(session: Session, stores: MirrorStores, requests: readonly CopyRequest[]): void {
  session.reporter.emit({ type: 'run-started', job: 'mirror', target: `${stores.target.name}/${stores.path}` });
  announceRequests(session.reporter, requests);
}

function resultsOf(
  session: Session,
  images: readonly WantedImage[],
  stores: MirrorStores,
  outcomes: readonly Outcome[],
): readonly ImageResult[] {
  const byTarget = new Map(outcomes.flatMap((outcome) => outcome.targets.map((name) => [name, outcome] as const)));
  return images.map((image): ImageResult => {
    const outcome = byTarget.get(placeName(placeOf(image, stores)));
    if (outcome === undefined) return { kind: 'not-begun' };
    if (outcome.kind !== 'failed') return { kind: outcome.kind, digest: outcome.digest };
    const real = outcome.failures.find(({ code }) => code !== 'cancelled' && code !== 'deadline');
    if (real === undefined) return { kind: 'not-begun' };
    // It stays in the database, which is no place for secrets either.
    return { kind: 'failed', error: session.mask.mask(real.cause) };
  });
}
