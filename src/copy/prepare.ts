import { type Digest, digestAlgorithm, isDigest } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import type { ManifestNode } from './graph.ts';
import { lacksReferrer, prepareReferrers } from './prepare-referrers.ts';
import type { Prepared, PreparedGraph } from './prepared.ts';
import { type CopyOptions, type CopyRequest, placeName, type TargetPlace } from './request.ts';
import { SourceReader } from './source-reader.ts';
import { createTargetStates, type CurrentTarget, type TargetStates } from './target-state.ts';

type Current = readonly (CurrentTarget | undefined)[];

/** Everything that has to be asked before bytes move. Shared by all artifacts of a run, so that nothing is asked twice. */
export class Preparer {
  readonly #options: CopyOptions;
  readonly #source: SourceReader;
  readonly #targets: TargetStates;
  readonly #sharing: ReadonlySet<CopyRequest>;

  constructor(requests: readonly CopyRequest[], options: CopyOptions) {
    this.#options = options;
    this.#source = new SourceReader(options.signal);
    this.#targets = createTargetStates(requests, options.signal);
    this.#sharing = sharingRepositories(requests);
  }

  /** What has to be copied of an artifact, if anything. @throws ReplicationError with its side */
  async prepare(request: CopyRequest): Promise<Prepared> {
    const source = this.#source;
    const states = await Promise.all(request.targets.map((place) => this.#targets.current(place, request.platforms)));
    if (this.#isNew(request, states)) {
      return source.inTurn(request, async () => {
        if (this.#options.referrers !== false) source.foreseeReferrers(request);
        const root = await source.namedGraph(request);
        return this.#compared(request, states, root.cutFrom ?? root.content.descriptor.digest, root);
      });
    }
    const digest = await source.digest(request);
    const current = request.repair !== true && states.every((state) => holds(state, digest));
    if (current) return this.#unchanged(request, states[0]?.digest ?? digest, digest);
    return source.inTurn(request, async () =>
      this.#compared(request, states, digest, await source.agreedGraph(request, digest)),
    );
  }

  /** Where no target has anything under the name, the manifest is needed in any case, and reading it tells its digest. */
  #isNew(request: CopyRequest, states: Current): boolean {
    return request.repair !== true && !this.#sharing.has(request) && states.every((state) => state === undefined);
  }

  /** What the targets lack of the image that the source has. */
  async #compared(request: CopyRequest, states: Current, digest: Digest, root: ManifestNode): Promise<Prepared> {
    const { store, repository } = request.source;
    const repair = request.repair === true;
    const wanted = root.content.descriptor.digest;
    const outdated = request.targets.flatMap((place, position) => {
      const state = states[position];
      const current = !repair && (holds(state, digest) || state?.digest === wanted);
      return current ? [] : [{ place, hasContent: state !== undefined }];
    });
    if (outdated.length === 0) return this.#unchanged(request, wanted, digest);
    for (const { place } of outdated) refuseOtherDigest(place, wanted);
    const main: PreparedGraph = {
      source: { store, repository, reference: digest },
      root,
      targets: await Promise.all(
        outdated.map(({ place, hasContent }) => this.#targets.prepare(place, root, { hasContent, repair })),
      ),
    };
    const toThese = { ...request, targets: outdated.map(({ place }) => place) };
    const referrers = this.#options.referrers === false ? [] : await this.#referrers(toThese, root);
    return { kind: 'copy', digest: wanted, main, referrers };
  }

  /** An unchanged image may still lack a referrer: one that came later, or that failed when the image was copied. */
  async #unchanged(request: CopyRequest, digest: Digest, sourceDigest: Digest): Promise<Prepared> {
    const { referrers, refreshReferrers } = this.#options;
    if (refreshReferrers !== true || referrers === false || digest !== sourceDigest)
      return { kind: 'unchanged', digest };
    const found = await this.#source.referrers(request, [digest]);
    const places = { source: this.#source, targets: this.#targets };
    const lacking = await Promise.all(found.map(({ reference }) => lacksReferrer(places, request, reference)));
    if (!lacking.includes(true)) return { kind: 'unchanged', digest };
    const root = await this.#source.graph(request, digest);
    const { store, repository } = request.source;
    const main: PreparedGraph = { source: { store, repository, reference: digest }, root, targets: [] };
    return { kind: 'copy', digest, main, referrers: await this.#referrers(request, root) };
  }

  #referrers(request: CopyRequest, root: ManifestNode): ReturnType<typeof prepareReferrers> {
    return prepareReferrers({ source: this.#source, targets: this.#targets }, request, root);
  }
}

/** Before bytes move: no registry takes a manifest under the digest of another. @throws `configuration` */
function refuseOtherDigest(place: TargetPlace, wanted: Digest): void {
  const { reference, store } = place;
  if (!isDigest(reference) || reference === wanted || digestAlgorithm(reference) !== digestAlgorithm(wanted)) return;
  throw new ReplicationError(
    'configuration',
    `${placeName(place)} is the digest of something else than ${wanted}, which is to be copied`,
    {
      side: 'target',
      host: store.name,
      reference: placeName(place),
      digest: wanted,
      remedy:
        'name a tag at the target: the image has been changed, or is cut to some of its platforms, which gives it another digest',
    },
  );
}

/** Whether a target has what the source's digest names, whole or cut to the wanted platforms. */
function holds(state: CurrentTarget | undefined, digest: Digest): boolean {
  return state !== undefined && (state.digest === digest || state.cutFrom === digest);
}

/** Requests whose source repository others read from, too: tags of one digest are best asked for by HEAD, and the digest read once. */
function sharingRepositories(requests: readonly CopyRequest[]): ReadonlySet<CopyRequest> {
  const first = new Map<string, CopyRequest>();
  const sharing = new Set<CopyRequest>();
  for (const request of requests) {
    const name = `${request.source.store.name}/${request.source.repository}`;
    const other = first.get(name);
    if (other === undefined) first.set(name, request);
    else sharing.add(other).add(request);
  }
  return sharing;
}
