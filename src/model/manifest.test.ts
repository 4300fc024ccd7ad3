import { describe, expect, it } from 'vitest';
import { digestOf } from './digest.ts';
import { parseManifest } from './manifest.ts';
import { mediaTypes } from './media-types.ts';

const descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf('x'), size: 1 };
const bytes = (json: object): Uint8Array => Buffer.from(JSON.stringify({ schemaVersion: 2, ...json }));

describe('parseManifest', () => {
  it('refuses what was served as another kind than its content (CVE-2021-41190)', () => {
    const refusal = /as which it was served/;
    const image = bytes({ config: descriptor, layers: [descriptor] });
    for (const type of [mediaTypes.ociIndex, mediaTypes.dockerManifestList])
      expect(() => parseManifest(image, type)).toThrow(refusal);
    for (const type of [mediaTypes.ociManifest, mediaTypes.dockerManifest])
      expect(() => parseManifest(bytes({ manifests: [] }), type)).toThrow(refusal);
  });

  it('goes by the content where the type says nothing', () => {
    expect(parseManifest(bytes({ manifests: [] }), 'application/json').kind).toBe('index');
    expect(parseManifest(bytes({ config: descriptor, layers: [] }), 'application/json').kind).toBe('image');
  });
});
