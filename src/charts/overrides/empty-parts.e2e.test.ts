import { expect, it } from 'vitest';
import { describeWith } from '../../../test/tools.ts';
import { chart, derive, outcomes, pod, prefix } from './test-support.ts';

const whole =
  '{{ .Values.image.registry | default "docker.io" }}/{{ .Values.image.repository | default "team/web" }}:{{ .Values.image.tag | default .Chart.AppVersion }}';

describeWith(['helm4'], 'an image whose parts are all empty, with defaults in the template', () => {
  it('moves by its registry', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'image: {registry: "", repository: "", tag: ""}\n',
        'templates/pod.yaml': pod(whole.replace('.Chart.AppVersion', '"v1"')),
      }),
    );
    expect(derived.values).toEqual({ image: { registry: `${prefix}docker.io` } });
    expect(outcomes(derived)).toEqual([['docker.io/team/web:v1', `${prefix}docker.io/team/web:v1`]]);
    expect(derived.proof.holds).toBe(true);
  });

  it('moves beside another one of its kind, each by its own', async () => {
    const other = whole
      .replaceAll('.Values.image', '.Values.other.image')
      .replace('docker.io', 'quay.io')
      .replace('team/web', 'team/other');
    const derived = await derive(
      chart({
        'values.yaml': 'image: {registry: "", repository: ""}\nother: {image: {registry: null, repository: null}}\n',
        'templates/pod.yaml': [whole, other]
          .map((image) => pod(image.replace('.Chart.AppVersion', '"v1"')))
          .join('---\n'),
      }),
    );
    expect(derived.values).toEqual({
      image: { registry: `${prefix}docker.io` },
      other: { image: { registry: `${prefix}quay.io` } },
    });
    expect(derived.proof.holds).toBe(true);
  });
});
