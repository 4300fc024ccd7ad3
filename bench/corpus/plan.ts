import { between, logNormal } from './seeded.ts';

export const corpusNames = ['eks', 'small', 'big'] as const;
export type CorpusName = (typeof corpusNames)[number];

/** A layer that does not exist yet. The same content name is the same layer, wherever it is used. */
export interface LayerPlan {
  readonly content: string;
  readonly bytes: number;
}

/** An image for one platform. */
export interface PlatformPlan {
  readonly architecture: string;
  readonly layers: readonly LayerPlan[];
  /** What its configuration is made from. */
  readonly config: string;
}

export interface ImagePlan {
  readonly repository: string;
  readonly tag: string;
  /** Several platforms make an index, a single one is the tag's own manifest. */
  readonly first: readonly PlatformPlan[];
  /** Where the tag points after it was moved at the source; `undefined` for tags that stay. */
  readonly moved: readonly PlatformPlan[] | undefined;
}

export interface CorpusPlan {
  readonly name: CorpusName;
  readonly images: readonly ImagePlan[];
}

export interface CorpusOptions {
  /** 1 is the full size. Bytes shrink with it, the number of images with its square root. */
  readonly scale: number;
  readonly seed: string;
}

interface Shape {
  readonly images: number;
  readonly architectures: readonly string[];
  /** All unique layers together, at scale 1. */
  readonly totalBytes: number;
  /** Families of base layers that images share; 0 for none. */
  readonly families: number;
  readonly baseLayers: readonly [least: number, most: number];
  readonly ownLayers: readonly [least: number, most: number];
  /** Spread of layer sizes (log-normal), and the largest as a multiple of the median. */
  readonly sigma: number;
  readonly largest: number;
  /** One tag in so many is moved for `incr`. */
  readonly movedOneIn: number;
}

const shapes: Readonly<Record<CorpusName, Shape>> = {
  // What the add-ons of an EKS cluster look like: two platforms, a handful of bases, most layers below a megabyte.
  eks: {
    images: 40,
    architectures: ['amd64', 'arm64'],
    totalBytes: 1.2e9,
    families: 6,
    baseLayers: [2, 5],
    ownLayers: [2, 4],
    sigma: 1.7,
    largest: 60,
    movedOneIn: 10,
  },
  small: {
    images: 300,
    architectures: ['amd64'],
    totalBytes: 400e6,
    families: 10,
    baseLayers: [1, 2],
    ownLayers: [1, 2],
    sigma: 1,
    largest: 12,
    movedOneIn: 10,
  },
  big: {
    images: 1,
    architectures: ['amd64'],
    totalBytes: 2.1e9,
    families: 0,
    baseLayers: [0, 0],
    ownLayers: [3, 3],
    sigma: 0,
    largest: 1,
    movedOneIn: 1,
  },
};

/** Layers of the moved version above this size are kept: a release changes its program, not its gigabytes of data. */
const largestReplacedBytes = 64e6;

/** Plans a corpus: names, layers and sizes, no bytes yet. Same name and options, same plan. */
export function planCorpus(name: CorpusName, options: CorpusOptions): CorpusPlan {
  const shape = shapes[name];
  const seed = `${options.seed}/${name}`;
  const count = name === 'big' ? 1 : Math.max(3, Math.round(shape.images * Math.sqrt(options.scale)));
  const images = Array.from({ length: count }, (_, index) => image(shape, seed, name, index));
  return { name, images: sized(images, shape.totalBytes * options.scale) };
}

function image(shape: Shape, seed: string, corpus: string, index: number): ImagePlan {
  const repository = `${corpus}/app-${String(index).padStart(3, '0')}`;
  const first = shape.architectures.map((architecture) => platform(shape, seed, repository, index, architecture));
  return {
    repository,
    tag: `v1.${between(seed, `${repository} minor`, 0, 30)}.0`,
    first,
    moved: index % shape.movedOneIn === 0 ? first.map(nextVersion) : undefined,
  };
}

function platform(shape: Shape, seed: string, repository: string, index: number, architecture: string): PlatformPlan {
  const layers = (owner: string, [least, most]: readonly [number, number]): readonly LayerPlan[] =>
    Array.from({ length: between(seed, `${owner} layers`, least, most) }, (_, at) => {
      const content = `${seed}/${owner}/${architecture}/${at}`;
      // Of both platforms, a layer is about the same size.
      return { content, bytes: Math.min(logNormal(seed, `${owner} ${at}`, shape.sigma), shape.largest) };
    });
  const base = shape.families === 0 ? [] : layers(`base-${index % shape.families}`, shape.baseLayers);
  const own = layers(repository, shape.ownLayers);
  return { architecture, layers: [...base, ...own], config: `${seed}/${repository}/${architecture}` };
}

/** The next release of an image: another configuration, and another top layer where that is not huge. */
function nextVersion(plan: PlatformPlan): PlatformPlan {
  const layers = plan.layers.map((layer, at) =>
    at === plan.layers.length - 1 ? { ...layer, content: `${layer.content}/moved` } : layer,
  );
  return { ...plan, layers, config: `${plan.config}/moved` };
}

/** Turns relative sizes into bytes, so that all unique layers of the first versions are `total` bytes together. */
function sized(images: readonly ImagePlan[], total: number): readonly ImagePlan[] {
  const unique = new Map(images.flatMap(({ first }) => allLayers(first)).map((layer) => [layer.content, layer.bytes]));
  const unit = total / [...unique.values()].reduce((sum, size) => sum + size, 0);
  const bytesOf = (layer: LayerPlan): LayerPlan => ({ ...layer, bytes: Math.max(64, Math.round(layer.bytes * unit)) });
  const platforms = (plans: readonly PlatformPlan[]): readonly PlatformPlan[] =>
    plans.map((plan) => ({ ...plan, layers: plan.layers.map(bytesOf) }));
  return images.map((each) => {
    const first = platforms(each.first);
    return { ...each, first, moved: each.moved && platforms(each.moved).map((plan, at) => keepHuge(plan, first[at])) };
  });
}

function keepHuge(moved: PlatformPlan, first: PlatformPlan | undefined): PlatformPlan {
  const layers = moved.layers.map((layer, at) =>
    layer.bytes > largestReplacedBytes ? (first?.layers[at] ?? layer) : layer,
  );
  return { ...moved, layers };
}

function allLayers(platforms: readonly PlatformPlan[]): readonly LayerPlan[] {
  return platforms.flatMap(({ layers }) => layers);
}
