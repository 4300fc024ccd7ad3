import type { Digest } from '../../src/model/digest.ts';
import { buildImage, type ImageContent, withCosignTag } from '../../src/testing/image-builder.ts';
import { baseLayer, emptyLayer, syntheticLayer } from '../../src/testing/image-layers.ts';
import type { RegistryServer } from '../../src/testing/registry-server.ts';

export interface CorpusImage {
  readonly name: string;
  readonly image: ImageContent;
}

/** Six images of two platforms: layers that all of them share, layers of their own, a large one, a signature, an SBOM. */
export async function corpus(): Promise<readonly CorpusImage[]> {
  const shared = await Promise.all([400_000, 90_000].map((size) => syntheticLayer(`shared ${size}`, size)));
  const large = await syntheticLayer('large', 2_500_000);
  const images: CorpusImage[] = [];
  for (const [index, name] of ['agent', 'cache', 'gateway', 'node', 'proxy', 'web'].entries()) {
    const own = await Promise.all(
      ['linux/amd64', 'linux/arm64'].map((platform) => syntheticLayer(`${name} ${platform}`, 20_000 * (index + 1))),
    );
    const image = buildImage({
      name,
      layers: (platform) => [
        baseLayer(),
        ...shared,
        ...own.slice(platform === 'linux/amd64' ? 0 : 1).slice(0, 1),
        ...(index === 2 ? [large] : []),
        emptyLayer(),
      ],
    });
    images.push({
      name,
      image: index === 0 ? withCosignTag(image) : index === 1 ? withCosignTag(image, 'sbom') : image,
    });
  }
  return images;
}

/** What a registry lacks of the images under a prefix; empty when every manifest, blob and tag is there. */
export function lacking(server: RegistryServer, prefix: string, images: readonly CorpusImage[]): readonly string[] {
  return images.flatMap(({ name, image }) => {
    const repository = `${prefix}/${name}`;
    const tags: readonly (readonly [string, Digest])[] = [['1', image.digest], ...(image.tags ?? [])];
    return [
      ...tags
        .filter(([tag, digest]) => server.manifest(repository, tag)?.descriptor.digest !== digest)
        .map(([tag]) => `${repository}:${tag}`),
      ...image.manifests
        .filter(({ descriptor, bytes }) => {
          const held = server.manifest(repository, descriptor.digest);
          return held === undefined || Buffer.compare(held.bytes, bytes) !== 0;
        })
        .map(({ descriptor }) => `${repository}@${descriptor.digest}`),
      ...[...image.blobs.keys()]
        .filter((digest) => !server.hasBlob(repository, digest))
        .map((digest) => `${repository} blob ${digest}`),
    ];
  });
}
