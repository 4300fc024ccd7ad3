import type { Digest } from '../../model/digest.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { Origin, PlannedChart, PlannedImage } from '../../model/plan.ts';
import { formatLocation, locate, parseReference } from '../../model/reference.ts';
import { splitTarget } from '../../model/target-name.ts';

/** One image under one name at the target, and what asked for it. */
export interface WantedImage {
  readonly source: string;
  readonly target: string;
  readonly platforms: 'all' | readonly string[];
  readonly origin: Origin;
  /** Set when it has to be this content, whatever its tag names by then. */
  readonly digest?: Digest | undefined;
}

/** Images with the same source become one, with all its target names, origins and platforms. Sorted by source. */
export function gatherImages(wanted: readonly WantedImage[]): PlannedImage[] {
  const groups = new Map<string, WantedImage[]>();
  for (const image of wanted) {
    const key = contentKey(image.source);
    groups.set(key, [...(groups.get(key) ?? []), image]);
  }
  return [...groups.values()]
    .map((group): PlannedImage => {
      const sources = group.map(({ source }) => source).sort();
      const digest = group.find((each) => each.digest !== undefined)?.digest;
      return {
        kind: 'image',
        source: sources[0] ?? '',
        ...(digest === undefined ? {} : { digest }),
        platforms: union(group.map(({ platforms }) => platforms)),
        targets: [...new Set(group.map(({ target }) => target))].sort(),
        origins: group.map(({ origin }) => origin),
      };
    })
    .sort((a, b) => (a.source < b.source ? -1 : 1));
}

/**
 * Two different things on one name at the target: images from different places or with different digests, an image and
 * a chart, charts from different repositories. The same repository with and without a digest may well be the same
 * image: that is left to the copy, which knows the digests.
 */
export function collisions(
  wanted: readonly WantedImage[],
  charts: readonly PlannedChart[],
): readonly ReplicationError[] {
  const claims = new Map<string, Claim[]>();
  const claim = (target: string, claimed: Claim): void => {
    claims.set(target, [...(claims.get(target) ?? []), claimed]);
  };
  for (const { source, target, origin } of wanted) {
    const tag = tagOf(target);
    if (tag === undefined) continue;
    const { repository, registry, digest } = withHost(source);
    claim(tag, { what: `image ${source}`, place: `${registry}/${repository}`, digest, origin });
  }
  for (const { repository, name, version, target, origins } of charts) {
    for (const origin of origins) {
      const place = `chart ${repository.replace(/\/+$/, '')}/${name}`;
      claim(target, { what: `${place} ${version}`, place, digest: undefined, origin });
    }
  }
  return [...claims].flatMap(([target, [first, ...others]]) => {
    const other = first && others.find((each) => differs(first, each));
    return first && other ? [collision(target, first, other)] : [];
  });
}

interface Claim {
  readonly what: string;
  /** Where it comes from, without tag and digest. */
  readonly place: string;
  readonly digest: string | undefined;
  readonly origin: Origin;
}

function differs(a: Claim, b: Claim): boolean {
  return a.place !== b.place || (a.digest !== undefined && b.digest !== undefined && a.digest !== b.digest);
}

function collision(target: string, first: Claim, other: Claim): ReplicationError {
  const by = ({ what, origin }: Claim): string => `${what} (${origin.file ?? ''}:${origin.line ?? 0}: ${origin.path})`;
  return new ReplicationError('configuration', `${by(first)} and ${by(other)} would both become ${target}`, {
    reference: target,
    remedy: 'give one of them another name or tag, or take both from the same place',
  });
}

/** Repository and tag that a target name claims; `undefined` for a digest alone, which cannot be claimed twice. */
function tagOf(target: string): string | undefined {
  const { host, repository, tag, digest } = splitTarget(target);
  return tag === undefined && digest !== undefined ? undefined : `${host}/${repository}:${tag ?? 'latest'}`;
}

function withHost(source: string): { registry: string; repository: string; digest: string | undefined } {
  const reference = parseReference(source);
  const { registry, repository } = locate(reference);
  return { registry, repository, digest: reference.digest };
}

/** The same for references that mean the same content: Docker Hub's short forms spelled out, `latest` added. */
function contentKey(source: string): string {
  return formatLocation(locate(parseReference(source)));
}

function union(lists: readonly ('all' | readonly string[])[]): 'all' | string[] {
  const all = new Set<string>();
  for (const list of lists) {
    if (list === 'all') return 'all';
    for (const platform of list) all.add(platform);
  }
  return [...all].sort();
}
