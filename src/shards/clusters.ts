import type { ImageWork, Shared, Work } from './work.ts';

/** Images that belong together, as a tree: what a cluster is made of shares less with each other than what it is made of in turn. */
export interface Cluster {
  /** Seconds for all of it, each blob once. */
  readonly seconds: number;
  /** Where its first image is, to tell clusters apart in a fixed order. */
  readonly first: number;
  /** Empty for a single image. */
  readonly parts: readonly Cluster[];
  readonly image: ImageWork | undefined;
}

/** A cluster that belongs to none yet, and what its images have between them. */
interface Root {
  readonly cluster: Cluster;
  readonly has: Set<Shared>;
}

/**
 * Joins images from the most bytes in common down to the least. Where a tree is cut from its root on, the cut goes through what
 * costs least to move twice.
 * @returns clusters that have nothing in common
 */
export function clustersOf({ images, shared }: Work): readonly Cluster[] {
  const roots = images.map((image, first): Root => {
    const cluster: Cluster = { seconds: image.alone.seconds, first, parts: [], image };
    return { cluster, has: new Set(image.shared) };
  });
  const finder = new RootFinder(images.length);
  const keys = new Map(shared.map((group) => [group, commonBytes(group, images)]));
  const key = (group: Shared): number => keys.get(group) ?? 0;
  for (const { images: members } of [...shared].sort((a, b) => key(b) - key(a) || a.id - b.id)) {
    const places = [...new Set(members.map((member) => finder.find(member)))];
    const joined = join(places.flatMap((place) => roots[place] ?? []));
    const [place] = places;
    if (joined === undefined || place === undefined) continue;
    for (const other of places) finder.attach(other, place);
    roots[place] = joined;
  }
  return roots.flatMap(({ cluster }, at) => (finder.find(at) === at ? [cluster] : []));
}

/** Bytes that all images of a group have in common, which may be more than the group's: the layers below it, too. */
function commonBytes({ images: members }: Shared, images: readonly ImageWork[]): number {
  const [first = 0, last = first] = [members[0], members.at(-1)];
  let bytes = 0;
  for (const each of images[first]?.shared ?? []) {
    // What the last one has, those in between have as a rule; most of the rest is told apart by it.
    if (each.images.length < members.length || !has(each, last)) continue;
    if (members.every((member) => has(each, member))) bytes += each.bytes;
  }
  return bytes;
}

function has({ images }: Shared, image: number): boolean {
  let [from, to] = [0, images.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((images[middle] ?? 0) < image) from = middle + 1;
    else to = middle;
  }
  return images[from] === image;
}

function join(roots: readonly Root[]): Root | undefined {
  if (roots.length < 2) return undefined;
  // The largest set takes the others in: no set's member is moved more often than the logarithm of their number.
  const [largest, ...rest] = [...roots].sort((a, b) => b.has.size - a.has.size || a.cluster.first - b.cluster.first);
  if (largest === undefined) return undefined;
  let { seconds } = largest.cluster;
  for (const { cluster, has } of rest) {
    seconds += cluster.seconds;
    for (const group of has)
      if (largest.has.has(group)) seconds -= group.seconds;
      else largest.has.add(group);
  }
  const parts = roots.map(({ cluster }) => cluster).sort((a, b) => a.first - b.first);
  return { cluster: { seconds, first: parts[0]?.first ?? 0, parts, image: undefined }, has: largest.has };
}

/** Which root an image has come to belong to (disjoint sets, with halved paths). */
class RootFinder {
  readonly #above: Int32Array;

  constructor(count: number) {
    this.#above = Int32Array.from({ length: count }, (_, at) => at);
  }

  find(at: number): number {
    let here = at;
    for (;;) {
      const above = this.#above[here] ?? here;
      if (above === here) return here;
      this.#above[here] = this.#above[above] ?? above;
      here = above;
    }
  }

  attach(root: number, to: number): void {
    this.#above[root] = to;
  }
}

/** All images of a cluster. */
export function imagesOf(cluster: Cluster): readonly ImageWork[] {
  const images: ImageWork[] = [];
  const waiting = [cluster];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.image !== undefined) images.push(next.image);
    for (const part of next.parts) waiting.push(part);
  }
  return images;
}
