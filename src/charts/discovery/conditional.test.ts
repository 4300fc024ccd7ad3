import { describe, expect, it } from 'vitest';
import { readChart } from '../chart.ts';
import { chartOf } from '../test-support.ts';
import { conditionalImages } from './conditional.ts';
import { discover } from './discover.ts';

const rendered = discover(`---
# Source: web/templates/pod.yaml
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: a, image: "mirror.example/quay.io/a/main:1@sha256:${'b'.repeat(64)}"}]}
`).references;

/** `first|second @ value path <- switches` of each. */
async function conditionals(values: string, set = {}, files = {}, more = ''): Promise<readonly string[]> {
  const chart = await readChart(
    chartOf('web', '1.0.0', {
      'Chart.yaml': `apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: "7.1"\n${more}`,
      'values.yaml': values,
      ...files,
    }),
  );
  return conditionalImages(chart, set, rendered).map(
    ({ candidates, valuePath, switches }) =>
      `${candidates.join('|')} @ ${valuePath.join('.')} <- ${switches.map(({ path }) => path.join('.')).join(' & ')}`,
  );
}

describe('images that a condition hides', () => {
  it('are found as maps, strings and lists, with the switches that are off', async () => {
    const values = `
image: {registry: quay.io, repository: a/main, tag: "1"}
metrics: {enabled: false, image: {registry: quay.io, repository: a/metrics, tag: "2"}, deep: {enabled: false, sideImage: "a/side:3"}}
init: {enabled: true, image: {repository: a/init}}
none: {repository: "https://charts.example/a", name: chart, version: "1"}
extra: [{create: false, image: {repository: a/listed, tag: "4"}}]
backup: {install: false, image: {repository: a/backup, tag: ""}}
`;
    expect(await conditionals(values)).toEqual([
      'quay.io/a/metrics:2 @ metrics.image <- metrics.enabled',
      'a/side:3 @ metrics.deep.sideImage <- metrics.enabled & metrics.deep.enabled',
      'a/listed:4 @ extra.0.image <- ',
      'a/backup:7.1|a/backup:v7.1 @ backup.image <- backup.install',
    ]);
  });

  it('are found with what the user sets, and in subcharts under their aliases with the condition of the dependency', async () => {
    const sub = chartOf('sub', '0.1.0', {
      'Chart.yaml': 'apiVersion: v2\nname: sub\nversion: 0.1.0\nappVersion: v3\n',
      'values.yaml': 'image: {repository: quay.io/s/sub, tag: ""}\nenabled: true\n',
    });
    const more = `dependencies:
  - {name: sub, version: 0.1.0, repository: "", condition: "twin.enabled,other.live", alias: twin}
  - {name: sub, version: 0.1.0, repository: "", condition: other.live}
`;
    const values = 'other: {live: false}\ntwin: {image: {tag: "5"}}\n';
    const files = { 'charts/sub.tgz': sub };
    expect(await conditionals(values, {}, files, more)).toEqual([
      'quay.io/s/sub:5 @ twin.image <- ',
      'quay.io/s/sub:v3|quay.io/s/sub:3 @ sub.image <- other.live',
    ]);
    expect(await conditionals(values, { twin: { enabled: false, image: { tag: '6' } } }, files, more)).toEqual([
      'quay.io/s/sub:6 @ twin.image <- twin.enabled',
      'quay.io/s/sub:v3|quay.io/s/sub:3 @ sub.image <- other.live',
    ]);
  });

  it('are none where values only complete others or are not set up', async () => {
    const values = `
defaultImageRegistry: quay.io
defaultImageRepository: strimzi
defaultImageTag: "1"
manager: {repository: "", image: manager, version: ""}
imagePullSecrets: [{name: a/b}]
service: {name: web, port: 80, version: v1}
url: https://quay.io/a/b:1
`;
    expect(await conditionals(values)).toEqual([]);
  });
});
