import fc from 'fast-check';
import type { Digest } from '../../model/digest.ts';
import { type Descriptor, parseManifest } from '../../model/manifest.ts';
import type { WriteStore } from '../../model/store.ts';
import type { CopyRequest } from '../request.ts';
import { anyReferrer, anyShape, putReferrer, putShape } from './random-graph.ts';
import { type Manners, type UnrulyHost, unrulyHost } from './unruly-host.ts';

const never = new AbortController().signal;

const anyManners: fc.Arbitrary<Manners> = fc.oneof(
  fc.record({ mounting: fc.constant('after-upload' as const), grants: fc.boolean(), batchedExistence: fc.boolean() }),
  // Only ECR is like that, and ECR tells about many blobs in one request.
  fc.record({ mounting: fc.constant('after-manifest' as const), grants: fc.boolean(), batchedExistence: fc.constant(true) }),
  fc.record({ mounting: fc.constant('never' as const), grants: fc.constant(false), batchedExistence: fc.boolean() }),
); // prettier-ignore

const anyArtifact = fc.record({
  shape: anyShape,
  source: fc.nat({ max: 1 }),
  sourceRepository: fc.nat({ max: 1 }),
  byDigest: fc.boolean(),
  targets: fc.array(fc.record({ host: fc.nat({ max: 1 }), repository: fc.nat({ max: 2 }) }), { minLength: 1, maxLength: 3 }),
  referrers: fc.array(anyReferrer, { maxLength: 2 }),
}); // prettier-ignore

/** Some artifacts, what refers to them, and where all of it shall go. */
export const anyWorld = fc.record({
  artifacts: fc.array(anyArtifact, { minLength: 2, maxLength: 5 }),
  manners: fc.tuple(anyManners, anyManners),
  /** Whether some layers are above 1 MiB: streamed or spooled instead of held in memory. */
  large: fc.nat({ max: 5 }).map((number) => number === 0),
  /** How many of the artifacts were copied by an earlier run. */
  before: fc.nat({ max: 2 }),
  seed: fc.integer(),
});
export type WorldSpec = typeof anyWorld extends fc.Arbitrary<infer T> ? T : never;

export interface World {
  readonly spec: WorldSpec;
  readonly sources: readonly UnrulyHost[];
  readonly targets: readonly UnrulyHost[];
  /** By artifact. */
  readonly roots: readonly Descriptor[];
  /** Everything that refers to something, by source host and repository. */
  readonly referrers: readonly Referrer[];
}

interface Referrer {
  readonly at: string;
  readonly subject: Digest;
  readonly reference: string;
}

/** Makes the hosts of a world, with everything at the sources. */
export async function worldOf(spec: WorldSpec): Promise<World> {
  const plain: Manners = { mounting: 'never', grants: false, batchedExistence: false };
  const sources = ['source-0', 'source-1'].map((name) => unrulyHost(name, plain));
  const targets = spec.manners.map((manners, index) => unrulyHost(`target-${index}`, manners));
  const roots: Descriptor[] = [];
  const referrers: Referrer[] = [];
  for (const [index, artifact] of spec.artifacts.entries()) {
    const store = pick(sources, artifact.source).truth;
    const repository = `from-${artifact.sourceRepository}`;
    await store.ensureRepository(repository, never);
    const manifests = await putShape(store, repository, artifact.shape, spec.large, `s${index}`);
    roots.push(pick(manifests, manifests.length - 1));
    const subjects = [...manifests];
    for (const referrer of artifact.referrers) {
      const about = pick(subjects, referrer.about % subjects.length);
      const { reference, descriptor } = await putReferrer(store, repository, about, referrer, spec.large);
      referrers.push({ at: `${artifact.source} ${repository}`, subject: about.digest, reference });
      // So that the next one may be a signature over this one.
      subjects.push(descriptor);
    }
  }
  return { spec, sources, targets, roots, referrers };
}

export function pick<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new Error(`nothing at ${index}`);
  return found;
}

/** What is to be copied, by way of these stores. */
export function requestsOf(
  world: World,
  sources: readonly WriteStore[],
  targets: readonly WriteStore[],
): readonly CopyRequest[] {
  return world.spec.artifacts.map((artifact, index) => ({
    artifact: `artifact ${index}`,
    source: {
      store: pick(sources, artifact.source),
      repository: `from-${artifact.sourceRepository}`,
      reference: artifact.byDigest ? pick(world.roots, index).digest : `s${index}`,
    },
    targets: artifact.targets.map(({ host, repository }, number) => ({
      store: pick(targets, host),
      repository: `to-${repository}`,
      reference: `t${index}-${number}`,
    })),
    platforms: 'all' as const,
  }));
}

/** What a place holds of a graph that is not as at the source; empty when it is whole. */
async function flaws(
  source: WriteStore,
  from: string,
  target: WriteStore,
  to: string,
  reference: string,
  digest: Digest,
): Promise<string[]> {
  const held = await target.readManifest(to, reference, never).catch(() => undefined);
  if (held === undefined) return [`${target.name}/${to} lacks ${reference}`];
  const wanted = await source.readManifest(from, digest, never);
  if (held.descriptor.digest !== digest || Buffer.compare(held.bytes, wanted.bytes) !== 0)
    return [`${target.name}/${to} holds something else as ${reference}`];
  const manifest = parseManifest(held.bytes, held.descriptor.mediaType);
  if (manifest.kind === 'index') {
    const below = manifest.manifests.map((child) => flaws(source, from, target, to, child.digest, child.digest));
    return (await Promise.all(below)).flat();
  }
  // Whether the bytes are right needs no question: the store takes no others.
  const missing = await target.missingBlobs(to, [manifest.config, ...manifest.layers], never);
  return [...missing].map((each) => `${target.name}/${to} lacks blob ${each}`);
}

/** All that an artifact has to bring along: what refers to any of its manifests, and what refers to that. */
async function referrersOf(world: World, index: number): Promise<readonly Referrer[]> {
  const { source, sourceRepository } = pick(world.spec.artifacts, index);
  const store = pick(world.sources, source).truth;
  const repository = `from-${sourceRepository}`;
  const graph = new Set<Digest>();
  const found = new Set<Referrer>();
  const add = async (reference: string): Promise<void> => {
    const { bytes, descriptor } = await store.readManifest(repository, reference, never);
    if (graph.has(descriptor.digest)) return;
    graph.add(descriptor.digest);
    const manifest = parseManifest(bytes, descriptor.mediaType);
    for (const child of manifest.kind === 'index' ? manifest.manifests : []) await add(child.digest);
    for (const referrer of world.referrers) {
      if (referrer.at !== `${source} ${repository}` || referrer.subject !== descriptor.digest) continue;
      found.add(referrer);
      await add(referrer.reference);
    }
  };
  await add(pick(world.roots, index).digest);
  return [...found];
}

/** Everything that should be at the targets of one artifact and is not. */
export async function artifactFlaws(world: World, index: number): Promise<readonly string[]> {
  const artifact = pick(world.spec.artifacts, index);
  const source = pick(world.sources, artifact.source).truth;
  const from = `from-${artifact.sourceRepository}`;
  const found: string[] = [];
  for (const [number, { host, repository }] of artifact.targets.entries()) {
    const target = pick(world.targets, host).truth;
    const to = `to-${repository}`;
    found.push(...(await flaws(source, from, target, to, `t${index}-${number}`, pick(world.roots, index).digest)));
    for (const { reference } of await referrersOf(world, index)) {
      const { digest } = await source.resolve(from, reference, never);
      found.push(...(await flaws(source, from, target, to, reference, digest)));
    }
  }
  return found;
}
