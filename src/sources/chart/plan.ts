import { isReplicationError, ReplicationError, ReplicationErrors } from '../../model/errors.ts';
import type { Origin, PlannedImage } from '../../model/plan.ts';
import { formatLocation, locate, parseReference } from '../../model/reference.ts';
import { gatherImages } from '../eks/planned-images.ts';

/** One image under one name at the target. */
export interface Wanted {
  readonly source: string;
  readonly target: string;
  readonly origin: Origin;
}

/**
 * Everything that is to be copied, each source once. Two sources for one name are fine when they are the same content.
 * @param digestOf what a source names now; asked only where names collide
 * @throws ReplicationErrors `configuration` for names that would hold two things
 */
export async function planImages(
  wanted: readonly Wanted[],
  platforms: 'all' | readonly string[],
  digestOf: (source: string) => Promise<string>,
): Promise<readonly PlannedImage[]> {
  const takenBy = new Map<string, Wanted>();
  const kept: Wanted[] = [];
  const problems: ReplicationError[] = [];
  for (const each of wanted) {
    const name = tagged(each.target);
    const other = takenBy.get(name);
    if (other !== undefined && key(other.source) !== key(each.source)) {
      const problem = await collision(name, other, each, digestOf);
      if (problem !== undefined) problems.push(problem);
      continue;
    }
    takenBy.set(name, other ?? each);
    kept.push(each);
  }
  if (problems.length > 0) throw new ReplicationErrors(problems);
  // The digest is that of all platforms: what pins it needs all of them.
  return gatherImages(
    kept.map((each) => ({ ...each, platforms: each.target.includes('@') ? ('all' as const) : platforms })),
  );
}

async function collision(
  name: string,
  first: Wanted,
  second: Wanted,
  digestOf: (source: string) => Promise<string>,
): Promise<ReplicationError | undefined> {
  try {
    const [a, b] = await Promise.all([digestOf(first.source), digestOf(second.source)]);
    if (a === b) return undefined;
  } catch (error) {
    if (!isReplicationError(error)) throw error;
  }
  const by = ({ source, origin }: Wanted): string => `${source} (${origin.path})`;
  return new ReplicationError('configuration', `${by(first)} and ${by(second)} would both become ${name}`, {
    reference: name,
    remedy: 'give one of them a destination of its own in the file of --extra-images, or another tag',
  });
}

/** A name that can hold one thing only: with a tag, or by digest. */
function tagged(target: string): string {
  return /:[^/:@]+@/.test(target) ? target.replace(/@.*$/, '') : target;
}

function key(source: string): string {
  return formatLocation(locate(parseReference(source)));
}
