import { describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import { parseManifest } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { packageChart } from './package.ts';
import { chartOf } from './test-support.ts';

const full = `apiVersion: v2
name: app
version: 1.2.3+build.7
appVersion: "1.0"
description: "Tom & <Jerry>\\tdo\\u0001 things"
home: https://example.com
sources: [https://git.example/app, https://git.example/more]
keywords: [a]
icon: https://example.com/i.png
kubeVersion: ">=1.20"
deprecated: false
unknown: kept out
maintainers: [{name: Ann, email: ann@example.com, url: https://ann.example}, {name: Bob}]
annotations: {z: "1", a: "2", org.opencontainers.image.version: "no", org.opencontainers.image.source: mine}
dependencies: [{name: sub, version: ^1, repository: https://r.example, condition: sub.enabled, tags: [t], import-values: [data], alias: s}, {name: bare}]
type: application
`;

describe('a packaged chart', () => {
  const archive = chartOf('app', '1.2.3+build.7', { 'Chart.yaml': full });
  const made = packageChart({ archive });

  it('is the artifact that helm push makes', () => {
    const manifest: unknown = JSON.parse(Buffer.from(made.manifest.bytes).toString());
    const [config, chart] = made.blobs;
    expect(manifest).toEqual({
      schemaVersion: 2,
      config: { mediaType: mediaTypes.helmConfig, digest: config?.descriptor.digest, size: config?.bytes.length },
      layers: [{ mediaType: mediaTypes.helmChart, digest: digestOf(archive), size: archive.length }],
      annotations: {
        a: '2',
        'org.opencontainers.image.authors': 'Ann (ann@example.com), Bob',
        'org.opencontainers.image.description': 'Tom & <Jerry> do things',
        'org.opencontainers.image.source': 'mine',
        'org.opencontainers.image.title': 'app',
        'org.opencontainers.image.url': 'https://example.com',
        'org.opencontainers.image.version': '1.2.3+build.7',
        z: '1',
      },
    });
    expect(chart?.bytes).toBe(archive);
    expect(made.tag).toBe('1.2.3_build.7');
    expect(made.manifest.descriptor).toEqual({
      mediaType: mediaTypes.ociManifest,
      digest: digestOf(made.manifest.bytes),
      size: made.manifest.bytes.length,
    });
  });

  it('has Chart.yaml in its config exactly as Go would write it', () => {
    expect(Buffer.from(made.blobs[0]?.bytes ?? []).toString()).toBe(
      String.raw`{"name":"app","home":"https://example.com","sources":["https://git.example/app","https://git.example/more"],"version":"1.2.3+build.7","description":"Tom \u0026 \u003cJerry\u003e do things","keywords":["a"],"maintainers":[{"name":"Ann","email":"ann@example.com","url":"https://ann.example"},{"name":"Bob"}],"icon":"https://example.com/i.png","apiVersion":"v2","appVersion":"1.0","annotations":{"a":"2","org.opencontainers.image.source":"mine","org.opencontainers.image.version":"no","z":"1"},"kubeVersion":"\u003e=1.20","dependencies":[{"name":"sub","version":"^1","repository":"https://r.example","condition":"sub.enabled","tags":["t"],"import-values":["data"],"alias":"s"},{"name":"bare","repository":""}],"type":"application"}`,
    );
  });

  it('is the same every time', () => {
    expect(packageChart({ archive })).toEqual(made);
  });

  it('carries its provenance as a layer, sorted by digest', () => {
    for (const text of ['one', 'two', 'three', 'four', 'five']) {
      const provenance = Buffer.from(text);
      const { manifest, blobs } = packageChart({ archive, provenance });
      const parsed = parseManifest(manifest.bytes, mediaTypes.ociManifest);
      const layers = parsed.kind === 'image' ? parsed.layers : [];
      expect(layers.map(({ mediaType }) => mediaType).sort()).toEqual([
        mediaTypes.helmChart,
        mediaTypes.helmProvenance,
      ]);
      expect(layers.map(({ digest }) => digest)).toEqual(layers.map(({ digest }) => digest).sort());
      expect(blobs).toHaveLength(3);
      expect(layers.some(({ digest }) => digest === digestOf(provenance))).toBe(true);
    }
  });
});
