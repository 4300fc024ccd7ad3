import type { ShardInput } from '../../src/shards/work.ts';
import { between, logNormal, uniform } from '../corpus/seeded.ts';

export interface FleetCorpusOptions {
  readonly images: number;
  /** Unique ones, configurations of images among them. */
  readonly blobs: number;
  /** Of unique blobs. */
  readonly bytes: number;
  readonly seed: string;
}

/** ECR takes layers of up to 52,000 MiB; few are above this. */
const largestLayer = 5e9;
const hosts = ['docker.io', 'quay.io', 'ghcr.io', '111122223333.dkr.ecr.eu-west-1.amazonaws.com'] as const;
const architectures = ['amd64', 'arm64', 'ppc64le'] as const;

interface Layer {
  readonly digest: string;
  size: number;
}

/**
 * Images of an organisation, as a registry's listing finds them: repositories with few or hundreds of tags (Zipf), for one platform
 * or several, on bases of which few are in most images (Zipf). A layer of a tag is its predecessor's until something below
 * it changes, as builds have it; most layers are in one image only, and sizes have a heavy tail (log-normal), as N. Zhao et al.,
 * "Large-Scale Analysis of the Docker Hub Dataset" (CLUSTER 2019), found. Bases have the sizes of real ones; the images' own layers
 * are stretched until all bytes are there. Same options, same images.
 */
export function planFleetCorpus(options: FleetCorpusOptions): readonly ShardInput[] {
  const maker = new LayerMaker(options.seed);
  const tags = tagCounts(options.images);
  const inputs: ShardInput[] = [];
  const own: Layer[][] = [];
  for (const [repository, count] of tags.entries()) {
    const platforms = repositoryOf(maker, repository, tags.length);
    for (let tag = 0; tag < count; tag += 1) {
      const layers = platforms.map((next) => next(tag));
      own.push(layers.flat());
      inputs.push({
        index: inputs.length,
        manifests: platforms.length === 1 ? 1 : platforms.length + 1,
        blobs: layers.flat(),
        host: hosts[between(options.seed, `host ${repository}`, 0, hosts.length - 1)] ?? hosts[0],
      });
    }
  }
  const added = maker.more(options.blobs, own.length);
  for (const [image, layers] of added.entries()) own[image]?.push(...layers);
  maker.stretch(options.bytes);
  return inputs.map((input, at) => ({ ...input, blobs: own[at] ?? [] }));
}

/** Tags of each repository, a twelfth as many as images: the first has about one image in twenty. */
function tagCounts(images: number): readonly number[] {
  const repositories = Math.max(1, Math.round(images / 12));
  const weights = Array.from({ length: repositories }, (_, rank) => 1 / (rank + 3) ** 0.9);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let [left, weight] = [images, 0];
  return weights.map((each, rank) => {
    weight += each;
    const upTo = rank === repositories - 1 ? images : Math.round((images * weight) / total);
    const count = upTo - (images - left);
    left -= count;
    return count;
  });
}

/** By platform, a function that gives the layers of a tag; called for one tag after the other. */
function repositoryOf(
  maker: LayerMaker,
  repository: number,
  repositories: number,
): readonly ((tag: number) => Layer[])[] {
  const { seed } = maker;
  const kind = uniform(seed, `platforms ${repository}`);
  const platforms = architectures.slice(0, kind < 0.6 ? 1 : kind < 0.95 ? 2 : 3);
  const bases = Math.max(1, Math.round(repositories / 4));
  // Zipf's law with exponent 1, by the inverse of its distribution's integral.
  const base = Math.floor(bases ** uniform(seed, `base ${repository}`)) - 1;
  const depth = between(seed, `depth ${repository}`, 2, 5);
  return platforms.map((architecture) => {
    const from = maker.base(base, architecture);
    const versions = Array.from({ length: depth }, () => 0);
    return (tag) => {
      const owner = `${repository}/${architecture}`;
      // The deeper a layer, the seldomer it changes; what lies on top of it changes with it.
      const changed = versions.findIndex(
        (_, at) => tag === 0 || uniform(seed, `${owner} ${tag} ${at}`) < (at + 1) ** 2 / depth ** 2 / 2,
      );
      for (let at = changed === -1 ? depth - 1 : changed; at < depth; at += 1) versions[at] = tag;
      const layers = versions.map((version, at) => maker.own(`${owner}/${at}/${version}`));
      return [...from, ...layers, maker.config(`${owner}/${tag}`)];
    };
  });
}

/** Makes each layer once. */
class LayerMaker {
  readonly seed: string;
  readonly #layers = new Map<string, Layer>();
  /** Those whose sizes are stretched. */
  readonly #own: Layer[] = [];

  constructor(seed: string) {
    this.seed = seed;
  }

  base(rank: number, architecture: string): Layer[] {
    return Array.from({ length: between(this.seed, `base layers ${rank}`, 1, 5) }, (_, at) => {
      // Of both platforms, a layer is about the same size. One base in a dozen is made for accelerators.
      const usual = (rank % 12 === 11 ? 400e6 : 25e6) * logNormal(this.seed, `base ${rank} ${at}`, 1.1);
      return this.#layer(`base/${rank}/${architecture}/${at}`, Math.min(usual, largestLayer));
    });
  }

  own(name: string): Layer {
    const known = this.#layers.size;
    const layer = this.#layer(name, 10e6 * logNormal(this.seed, name, 2));
    if (this.#layers.size > known) this.#own.push(layer);
    return layer;
  }

  config(name: string): Layer {
    return this.#layer(`config/${name}`, between(this.seed, `config ${name}`, 2_000, 20_000));
  }

  /** As many further layers as are missing, each in one image: by image. */
  more(blobs: number, images: number): readonly Layer[][] {
    const added: Layer[][] = Array.from({ length: images }, () => []);
    while (this.#layers.size < blobs) {
      const name = `more/${this.#layers.size}`;
      added[Math.floor(uniform(this.seed, name) * images)]?.push(this.own(name));
    }
    return added;
  }

  /** Gives own layers sizes with which all layers together have these bytes. */
  stretch(bytes: number): void {
    // Layers that are cut at the largest size leave a rest to the others.
    for (let round = 0; round < 40; round += 1) {
      const total = sizes(this.#layers.values());
      const growing = sizes(this.#own.filter(({ size }) => size < largestLayer));
      if (growing === 0 || Math.abs(total - bytes) < bytes / 1e6) return;
      const factor = Math.max(0.01, 1 + (bytes - total) / growing);
      for (const layer of this.#own)
        if (layer.size < largestLayer)
          layer.size = Math.min(largestLayer, Math.max(1, Math.round(layer.size * factor)));
    }
  }

  #layer(name: string, size: number): Layer {
    let layer = this.#layers.get(name);
    if (layer === undefined) this.#layers.set(name, (layer = { digest: `sha256:${name}`, size: Math.round(size) }));
    return layer;
  }
}

function sizes(layers: Iterable<Layer>): number {
  let sum = 0;
  for (const { size } of layers) sum += size;
  return sum;
}
