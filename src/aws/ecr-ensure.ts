import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { isRepository } from '../model/reference.ts';
import type { Reporter } from '../report/events.ts';
import { isOwnerTag, ownersIn, withOwner } from './owner-tag.ts';
import type { Repositories, RepositoryName, RepositorySettings, Tags } from './repositories.ts';
import { sharedOnce } from './single-flight.ts';

/** Beyond this many repositories (1000 a page) asking for single ones is cheaper than reading on. */
const maxPages = 10;

/** How a repository that is pushed to has to be. */
export interface EnsureOptions {
  readonly settings: RepositorySettings;
  /** Put on repositories that are created, and on existing ones that lack them. */
  readonly tags: Tags;
  readonly reporter: Reporter;
}

interface Known {
  readonly arns: ReadonlyMap<string, RepositoryName>;
  readonly complete: boolean;
}

/**
 * `ensureRepository` for ECR, with the fewest requests: one listing for the run, then one CreateRepository per missing
 * repository or one ListTagsForResource per existing one. Creating first is what makes it safe beside other runs; each
 * repository is done once per run, and only the first caller is told `created`.
 */
export function ensurer(
  registry: Repositories,
  options: EnsureOptions,
): (repository: string, signal: AbortSignal) => Promise<'created' | 'existing'> {
  const known = sharedOnce((signal) => listKnown(registry, signal));
  const done = new Map<string, (signal: AbortSignal) => Promise<'created' | 'existing'>>();
  return async (repository, signal) => {
    const before = done.get(repository);
    if (before !== undefined) {
      await before(signal);
      return 'existing';
    }
    checkName(repository);
    const work = sharedOnce(async (own) => ensureOne(registry, await known(own), repository, options, own));
    done.set(repository, work);
    return work(signal);
  };
}

async function listKnown(registry: Repositories, signal: AbortSignal): Promise<Known> {
  try {
    const { repositories, complete } = await registry.list({ signal, maxPages });
    return { arns: new Map(repositories.map((each) => [each.name, each])), complete };
  } catch (error) {
    // A role may be allowed to describe its own repositories only: then each is asked for by name.
    if (isReplicationError(error, 'denied')) return { arns: new Map(), complete: false };
    throw error;
  }
}

async function ensureOne(
  registry: Repositories,
  known: Known,
  name: string,
  options: EnsureOptions,
  signal: AbortSignal,
): Promise<'created' | 'existing'> {
  const listed = known.arns.get(name);
  // One that was deleted since the listing is created again.
  if (listed !== undefined && (await addMissingTags(registry, listed, options, signal))) return 'existing';
  if ((await registry.create(name, options.settings, options.tags, signal)) !== undefined) return 'created';
  const existing = await registry.find(name, signal);
  if (existing !== undefined && (await addMissingTags(registry, existing, options, signal))) return 'existing';
  throw new ReplicationError(
    'conflict',
    `repository ${name} comes and goes: it existed when it was to be created, and was gone at once`,
    {
      side: 'target',
      reference: name,
      remedy: 'look for another program that deletes repositories, then run again',
    },
  );
}

/** Whether the repository is (still) there. */
async function addMissingTags(
  registry: Repositories,
  repository: RepositoryName,
  { tags, reporter }: EnsureOptions,
  signal: AbortSignal,
): Promise<boolean> {
  if (Object.keys(tags).length === 0) return true;
  const present = await registry.tags(repository, signal);
  if (present === undefined) return false;
  const missing: Record<string, string> = {};
  for (const [key, value] of Object.entries(tags)) {
    const now = present.get(key);
    if (!isOwnerTag(key)) {
      if (now === undefined) missing[key] = value;
    } else if (now === undefined || !ownersIn(now).includes(value)) {
      missing[key] = withOwner(now, value);
      if (now !== undefined)
        reporter.emit({
          type: 'notice',
          level: 'warning',
          message: `repository ${repository.name} is also used by project ${now}; both are kept as its owners`,
        });
    }
  }
  if (Object.keys(missing).length > 0) await registry.tag(repository, missing, signal);
  return true;
}

/** ECR names have 2 to 256 characters (API reference, CreateRepository). */
function checkName(repository: string): void {
  if (repository.length >= 2 && isRepository(repository)) return;
  throw new ReplicationError('configuration', `"${repository}" is no name that ECR takes for a repository`, {
    side: 'target',
    reference: repository,
    remedy: 'names have 2 to 255 characters: lower-case letters, digits, and . _ - / between them',
  });
}
