import pLimit from 'p-limit';
import { ecrListing, type EcrListing, type RepositoryContent } from '../../aws/ecr-listing.ts';
import { repositories } from '../../aws/repositories.ts';
import type { CopyRequest } from '../../copy/request.ts';
import type { Digest } from '../../model/digest.ts';
import { ReplicationError } from '../../model/errors.ts';
import { failureOf } from '../../model/result.ts';
import type { ReadStore, WriteStore } from '../../model/store.ts';
import { compareContents, type Difference, noContent, type Wanted } from '../../sources/ecr/compare.ts';
import type { SelectedImage } from '../../sources/ecr/selection.ts';
import { sourceRepository, targetRepository } from '../../sources/ecr/target-repository.ts';
import type { EcrSettings } from './settings.ts';
import { type EcrSide, filledFrom, sourceTag } from './sides.ts';
import { type AbsentImage, type DeletedImages, type Destination, type EcrWork, requestFor } from './work.ts';

export interface EcrSides {
  readonly source: EcrSide<ReadStore>;
  /** `ecr` is absent for a layout, which is not listed: the copier finds what is there. */
  readonly destination: Destination & { readonly ecr: EcrSide<WriteStore> | undefined };
}

interface Compared {
  readonly name: string;
  readonly target: string;
  readonly wanted: Wanted;
  readonly difference: Difference;
  /** All manifests at the destination. */
  readonly held: ReadonlySet<Digest>;
}

/** Both registries, listed and compared. */
interface Comparison {
  readonly source: EcrListing;
  /** Absent where the destination is not listed. */
  readonly target: EcrListing | undefined;
  readonly compared: readonly Compared[];
  /** ARNs of all repositories of the destination; empty where only those of selected images were listed. */
  readonly arns: ReadonlyMap<string, string>;
}

/** Lists both registries and compares them: requests follow the number of repositories, not of images. */
export async function ecrWork(
  sides: EcrSides,
  settings: EcrSettings,
  selected: readonly SelectedImage[] | undefined,
  signal: AbortSignal,
): Promise<EcrWork> {
  const { source, destination } = sides;
  const { platforms, prefix } = settings;
  const comparison = await compareRegistries(sides, prefix, selected, signal);
  const { compared, arns } = comparison;
  const request = (each: Compared, { label, digest }: { readonly label: string; readonly digest: Digest }) =>
    requestFor(
      { store: source.store, repository: each.name, reference: digest },
      label,
      { ...destination, repository: each.target },
      platforms,
    );
  const referrers = await Promise.all(
    compared.map(async (each) =>
      (await lateReferrers(comparison.source, each, signal)).map((digest) => request(each, { label: digest, digest })),
    ),
  );
  const changed = compared.flatMap((each) => each.difference.changed.map((image) => request(each, image)));
  const unchanged = compared.flatMap((each) => each.difference.unchanged.map((image) => request(each, image)));
  // What was cut out of an index has a digest of its own: only the copier can tell whether it is the same.
  const certain = platforms === 'all' && !settings.once;
  const copy: readonly CopyRequest[] = [...changed, ...(certain ? [] : unchanged), ...referrers.flat()];
  const { ecr } = destination;
  const origin = filledFrom(source.host, prefix);
  return {
    copy,
    unchanged: certain ? unchanged : [],
    failures: [],
    absent: compared.flatMap((each) =>
      each.difference.absent.map((label) =>
        absent(source.host, `${destination.host}/${each.target}`, each.name, label),
      ),
    ),
    deleted:
      ecr === undefined || comparison.target === undefined
        ? []
        : await deletedImages({ ecr, listing: comparison.target, origin, arns, prefix }, compared, signal),
    repositories: compared.map(({ name, target }) => ({ source: name, target })),
  };
}

async function compareRegistries(
  { source, destination }: EcrSides,
  prefix: EcrSettings['prefix'],
  selected: readonly SelectedImage[] | undefined,
  signal: AbortSignal,
): Promise<Comparison> {
  const sourceListing = ecrListing(() => source.aws.ecr(), source.registryId);
  const targetListing = destination.ecr === undefined ? undefined : listingOf(destination.ecr);
  const [wanted, present] = await Promise.all([
    selected === undefined ? everything(sourceListing, signal) : wantedOf(selected),
    selected === undefined && targetListing !== undefined ? targetListing.repositories(signal) : undefined,
  ]);
  const pairs = [...wanted].map(([name, labels]) => ({ name, labels, target: targetRepository(prefix, name) }));
  const there = present === undefined ? undefined : new Set(present.map((each) => each.repositoryName ?? ''));
  const [atSource, atTarget] = await Promise.all([
    sourceListing.contents(
      pairs.map(({ name }) => name),
      signal,
    ),
    targetListing?.contents(
      pairs.flatMap(({ target }) => (there === undefined || there.has(target) ? [target] : [])),
      signal,
    ),
  ]);
  const compared = pairs.map(({ name, labels, target }): Compared => {
    const held = atTarget?.get(target) ?? noContent;
    const difference = compareContents(atSource.get(name) ?? noContent, held, labels);
    return { name, target, wanted: labels, difference, held: held.digests };
  });
  const arns = new Map((present ?? []).map((each) => [each.repositoryName ?? '', each.repositoryArn ?? '']));
  return { source: sourceListing, target: targetListing, compared, arns };
}

function listingOf({ aws, registryId }: EcrSide<WriteStore>): EcrListing {
  return ecrListing(() => aws.ecr(), registryId);
}

async function everything(listing: EcrListing, signal: AbortSignal): Promise<ReadonlyMap<string, Wanted>> {
  const found = await listing.repositories(signal);
  return new Map(found.map(({ repositoryName = '' }) => [repositoryName, 'all-tags']));
}

async function wantedOf(selected: readonly SelectedImage[]): Promise<ReadonlyMap<string, Wanted>> {
  const wanted = new Map<string, Wanted>();
  for (const image of selected) {
    const before = wanted.get(image.name) ?? [];
    if (image.kind === 'all-tags' || before === 'all-tags') wanted.set(image.name, 'all-tags');
    else wanted.set(image.name, [...before, { label: image.label, digest: image.digest }]);
  }
  return wanted;
}

/**
 * Signatures and SBOMs that came after their image: untagged manifests of the source that refer to what the destination
 * holds already. Those of images that are copied now come along with them.
 */
async function lateReferrers(listing: EcrListing, each: Compared, signal: AbortSignal): Promise<readonly Digest[]> {
  const { difference, held, wanted, name } = each;
  if (held.size === 0 || difference.untagged.length === 0) return [];
  const subjects = await listing.subjects(name, difference.untagged, signal);
  const copied = new Set(difference.changed.map(({ digest }) => digest));
  const chosen = new Set(difference.unchanged.map(({ digest }) => digest));
  return [...subjects].flatMap(([digest, subject]) =>
    held.has(subject) && !copied.has(subject) && (wanted === 'all-tags' || chosen.has(subject)) ? [digest] : [],
  );
}

interface TargetRegistry {
  readonly ecr: EcrSide<WriteStore>;
  readonly listing: EcrListing;
  /** What the tag of repositories that this job fills says. */
  readonly origin: string;
  /** ARNs of all repositories; empty when the destination was not listed. */
  readonly arns: ReadonlyMap<string, string>;
  readonly prefix: string;
}

/** Requests for resource tags at the same time. */
const tagsAtOnce = 8;

/** What the source has deleted. Only repositories that carry this source's tag are looked at: others have other owners. */
async function deletedImages(
  { ecr, listing, origin, arns, prefix }: TargetRegistry,
  compared: readonly Compared[],
  signal: AbortSignal,
): Promise<readonly DeletedImages[]> {
  const registry = repositories(() => ecr.aws.ecr(), ecr.registryId);
  const limit = pLimit(tagsAtOnce);
  const ownArn = async (name: string): Promise<string | undefined> => {
    const listed = arns.get(name);
    const found = listed === undefined ? await registry.find(name, signal) : { name, arn: listed };
    if (found === undefined) return undefined;
    return (await registry.tags(found, signal))?.get(sourceTag) === origin ? found.arn : undefined;
  };
  const known = new Set(compared.map(({ target }) => target));
  const orphans = [...arns.keys()].filter((name) => !known.has(name) && sourceRepository(prefix, name) !== undefined);
  const inRepositories = compared.map(({ target: repository, difference }) =>
    limit(async (): Promise<readonly DeletedImages[]> => {
      const { extraTags: tags, extraDigests: digests } = difference;
      const arn = tags.length + digests.length === 0 ? undefined : await ownArn(repository);
      return arn === undefined ? [] : [{ repository, arn, whole: false, tags, digests }];
    }),
  );
  const repositoriesGone = orphans.map((repository) =>
    limit(async (): Promise<readonly DeletedImages[]> => {
      const arn = await ownArn(repository);
      if (arn === undefined) return [];
      const content = (await listing.contents([repository], signal)).get(repository);
      return [{ repository, arn, whole: true, ...labelled(content) }];
    }),
  );
  return (await Promise.all([...inRepositories, ...repositoriesGone])).flat();
}

function labelled(content: RepositoryContent | undefined): Pick<DeletedImages, 'tags' | 'digests'> {
  const tagged = new Set(content?.tags.values());
  return {
    tags: [...(content?.tags ?? [])].map(([label, digest]) => ({ label, digest })),
    digests: [...(content?.digests ?? [])].filter((digest) => !tagged.has(digest)),
  };
}

function absent(host: string, target: string, repository: string, label: string): AbsentImage {
  const end = `${label.includes(':') ? '@' : ':'}${label}`;
  const reference = `${host}/${repository}${end}`;
  const error = new ReplicationError('not-found', `${reference} is not at the source`, {
    side: 'source',
    reference,
    host,
    remedy: 'correct the list of images, or push the image to the source',
  });
  return { source: reference, target: `${target}${end}`, failure: failureOf(reference, error) };
}
