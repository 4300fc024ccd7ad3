import type { Digest } from '../../model/digest.ts';

/** What a repository holds, on either side: see RepositoryContent in src/aws/ecr-listing.ts. */
export interface Content {
  readonly tags: ReadonlyMap<string, Digest>;
  /** All manifests, tagged or not. */
  readonly digests: ReadonlySet<Digest>;
}

/** An image as a repository names it: by tag, or by its own digest. */
export interface Labelled {
  readonly label: string;
  readonly digest: Digest;
}

/** What is wanted of a repository: everything, or labels; one with a digest stands for that and not for what the tag names. */
export type Wanted = 'all-tags' | readonly { readonly label: string; readonly digest?: Digest | undefined }[];

/** How the target's repository differs from the source's. Lists are sorted. */
export interface Difference {
  /** New at the source, or something else now. */
  readonly changed: readonly Labelled[];
  readonly unchanged: readonly Labelled[];
  /** Labels that were asked for and are not at the source. */
  readonly absent: readonly string[];
  /** Untagged manifests of the source that the target lacks; referrers of what is there already may be among them. */
  readonly untagged: readonly Digest[];
  /** Tags at the target that the source has no longer. Only where everything is wanted. */
  readonly extraTags: readonly Labelled[];
  /** Untagged manifests at the target that the source does not have at all. Only where everything is wanted. */
  readonly extraDigests: readonly Digest[];
}

export const noContent: Content = { tags: new Map(), digests: new Set() };

/** Compares listings of both sides; nothing is asked. */
export function compareContents(source: Content, target: Content, wanted: Wanted): Difference {
  const all = wanted === 'all-tags';
  const asked = all ? [...source.tags.keys()].map((label) => ({ label, digest: undefined })) : wanted;
  const found = asked.map(({ label, digest }) => ({ label, digest: atSource(source, label, digest) }));
  const present = found.flatMap(({ label, digest }) => (digest === undefined ? [] : [{ label, digest }])).sort(byLabel);
  const [taggedSource, taggedTarget] = [new Set(source.tags.values()), new Set(target.tags.values())];
  return {
    changed: present.filter((image) => !holds(target, image)),
    unchanged: present.filter((image) => holds(target, image)),
    absent: found.flatMap(({ label, digest }) => (digest === undefined ? [label] : [])).sort(),
    untagged: [...source.digests].filter((each) => !taggedSource.has(each) && !target.digests.has(each)).sort(),
    extraTags: all
      ? [...target.tags]
          .filter(([tag]) => !source.tags.has(tag))
          .map(([label, digest]) => ({ label, digest }))
          .sort(byLabel)
      : [],
    extraDigests: all
      ? [...target.digests].filter((each) => !taggedTarget.has(each) && !source.digests.has(each)).sort()
      : [],
  };
}

/** @param pinned the digest that was asked for, where one was */
function atSource({ tags, digests }: Content, label: string, pinned: Digest | undefined): Digest | undefined {
  if (pinned === undefined) return tags.get(label);
  return digests.has(pinned) ? pinned : undefined;
}

function holds({ tags, digests }: Content, { label, digest }: Labelled): boolean {
  return label === digest ? digests.has(digest) : tags.get(label) === digest;
}

function byLabel(a: Labelled, b: Labelled): number {
  return a.label < b.label ? -1 : 1;
}
