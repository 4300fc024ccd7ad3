import { expect, it } from 'vitest';
import { digestOf } from '../../model/digest.ts';
import { mediaTypes } from '../../model/media-types.ts';
import { readChart } from '../chart.ts';
import type { ChartSource, FetchedChart } from '../fetch.ts';
import { chartOf } from '../test-support.ts';
import { patchedAsFetched } from './as-fetched.ts';

const archive = chartOf('web', '1.2.3');
const manifest = Buffer.from('{}');
const oci: ChartSource = {
  kind: 'oci',
  registry: '[::1]:5000',
  repository: 'charts/web',
  reference: '1.2.3',
  digest: digestOf(manifest),
  content: {
    descriptor: { mediaType: mediaTypes.ociManifest, digest: digestOf(manifest), size: manifest.length },
    bytes: manifest,
  },
};

it.each([
  ['an HTTP repository', { kind: 'http', url: 'https://charts.example.com:8443/web-1.2.3.tgz' } as const],
  ['a registry', oci],
])('a patched chart from %s is packed anew, without what signed the original', async (_, source) => {
  const fetched: FetchedChart = {
    chart: await readChart(archive),
    archive,
    digest: digestOf(archive),
    provenance: Buffer.from('signature'),
    version: '1.2.3',
    source,
  };
  const patched = chartOf('web', '1.2.3+isolated.0a1b2c3d');
  const version = '1.2.3+isolated.0a1b2c3d';
  const pushed = await patchedAsFetched(fetched, { archive: patched, digest: digestOf(patched), version });
  expect(pushed).toMatchObject({ version, digest: digestOf(patched), provenance: undefined, chart: { version } });
  expect(pushed.archive).toBe(patched);
  // Not to be copied from a registry as it is: the manifest there is that of the original.
  expect(pushed.source.kind).toBe('http');
  const host = source.kind === 'http' ? 'charts.example.com:8443' : '[::1]:5000';
  expect(pushed.source.kind === 'http' && new URL(pushed.source.url).host).toBe(host);
});
