import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { discover } from '../discovery/discover.ts';
import type { Move } from '../patch/port.ts';
import { KyvernoPolicy } from './kyverno-policy.ts';
import type { Remedy, RemedyRequest } from './port.ts';
import { remediesFor } from './remedies.ts';
import { deployment, everything, hook, move, prefix, rendered } from './test-support.ts';

const all = discover(everything)
  .references.map(({ text }) => text)
  .filter((text) => !text.startsWith(prefix));

function request(text: string, references: readonly Move[]): RemedyRequest {
  return { key: 'My_Web', renders: [{ profile: '', text }], references };
}

function remedy(kind: Remedy['kind'], text: string, references: readonly Move[]): Remedy {
  const { offered, notOffered } = remediesFor(request(text, references));
  const found = offered.find((each) => each.kind === kind);
  if (found === undefined) throw new Error(JSON.stringify(notOffered));
  return found;
}

function reached({ reaches }: Remedy): Readonly<Record<string, string>> {
  return Object.fromEntries(reaches.map(({ text, reached }) => [text, reached]));
}

describe('remedies', () => {
  it('knows every reference of the sample render', () => {
    expect(new Set(all).size).toBe(13);
  });

  it('says what kustomize reaches: containers anywhere, image volumes, and whole fields that it is told of', () => {
    const kustomize = remedy('kustomize', everything, all.map(move));
    expect(reached(kustomize)).toEqual({
      'quay.io/hard/init:v1': 'all',
      'quay.io/hard/app:v1': 'all',
      'quay.io/in/argument:1': 'none',
      'quay.io/after/flag:1': 'none',
      'quay.io/in/env:1': 'all',
      'quay.io/hard/volume:1': 'all',
      'quay.io/in/annotation:1': 'all',
      'quay.io/only/hook:1': 'all',
      'quay.io/custom/field:1': 'all',
      'quay.io/custom/parts/made:3': 'none',
      'quay.io/custom/pod:1': 'all',
      'quay.io/in/document:1': 'none',
      [`quay.io/hard/job@sha256:${'0'.repeat(64)}`]: 'all',
    });
    const why = new Map(kustomize.reaches.map((each) => [each.text, each.why]));
    expect(why.get('quay.io/in/argument:1')).toBe(
      'kustomize does not reach Deployment/web spec.template.spec.containers[0].args[0]',
    );
    expect(why.get('quay.io/only/hook:1')).toBe(
      'Pod/test is a hook: helm 4 shows it to post-renderers, helm 3 does not',
    );
    expect(kustomize.usage.at(-1)).toContain('helm 3 does not give hooks');
    expect(parse(kustomize.files['post-render/image-fields.yaml'] ?? '')).toEqual({
      images: [
        { path: 'spec/image', group: 'operator.example.com', version: 'v1', kind: 'Thing' },
        {
          path: 'spec/template/metadata/annotations/example.com\\/agent.image',
          group: 'apps',
          version: 'v1',
          kind: 'Deployment',
        },
        { path: 'spec/template/spec/containers[]/env[]/value', group: 'apps', version: 'v1', kind: 'Deployment' },
      ],
    });
  });

  it('says what a Kyverno policy reaches: images of pods that Kubernetes makes', () => {
    const kyverno = remedy('kyverno', everything, all.map(move));
    expect(Object.entries(reached(kyverno)).flatMap(([text, how]) => (how === 'none' ? [] : [text]))).toEqual([
      'quay.io/hard/init:v1',
      'quay.io/hard/app:v1',
      'quay.io/hard/volume:1',
      'quay.io/only/hook:1',
      `quay.io/hard/job@sha256:${'0'.repeat(64)}`,
    ]);
    expect(kyverno.reaches.find(({ text }) => text === 'quay.io/custom/field:1')?.why).toMatch(
      /^Thing\/thing spec\.image: .*operator/,
    );
    const policy = KyvernoPolicy.parse(parse(kyverno.files['kyverno.yaml'] ?? ''));
    expect(policy.metadata.name).toBe('isolated-images-my-web');
    expect(policy.spec.rules.map(({ name }) => name)).toEqual([
      'repoint-containers',
      'repoint-initcontainers',
      'repoint-volumes',
    ]);
    const [first] = policy.spec.rules[0]?.mutate.foreach ?? [];
    expect(first).toEqual({
      list: 'request.object.spec.containers',
      preconditions: { all: [{ key: '{{ element.image }}', operator: 'Equals', value: all[0] }] },
      patchStrategicMerge: {
        spec: { containers: [{ name: '{{ element.name }}', image: `${prefix}${all[0] ?? ''}` }] },
      },
    });
    const plain = remedy('kyverno', rendered(hook), [move('quay.io/only/hook:1')]);
    expect(KyvernoPolicy.parse(parse(plain.files['kyverno.yaml'] ?? '')).spec.rules).toHaveLength(2);
  });

  it('leaves out a name that another reference has, too, and tags that go different ways', () => {
    const two = rendered(hook, deployment.replace('quay.io/hard/app:v1', 'quay.io/only/hook:2'));
    const one = remediesFor(request(two, [move('quay.io/only/hook:1')]));
    expect(one.offered.map(({ kind }) => kind)).toEqual(['kyverno']);
    expect(one.notOffered[0]?.why).toContain('would change quay.io/only/hook:2 as well');
    expect(reached(remedy('kustomize', two, ['quay.io/only/hook:1', 'quay.io/only/hook:2'].map(move)))).toEqual({
      'quay.io/only/hook:1': 'all',
      'quay.io/only/hook:2': 'all',
    });
    const apart = [move('quay.io/only/hook:1'), { text: 'quay.io/only/hook:2', target: 'b.example.com/x:2' }];
    expect(remediesFor(request(two, apart)).notOffered[0]?.why).toContain('several references with different targets');
  });

  it('gives tag and digest where the target has others', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const tagged = { text: 'quay.io/only/hook:1', target: `${prefix}hook:1@${digest}` };
    const kustomize = remedy('kustomize', rendered(hook), [tagged]);
    expect(kustomize.images).toEqual([{ name: 'quay.io/only/hook', newName: `${prefix}hook`, newTag: '1', digest }]);
    expect(kustomize.reaches[0]?.reached).toBe('all');
  });

  it('does not offer kustomize for renders that it refuses, and nothing where nothing is asked', () => {
    const wanted = [move('quay.io/only/hook:1')];
    const twice = remediesFor(request(rendered(hook, hook), wanted));
    expect(twice.notOffered).toEqual([
      { kind: 'kustomize', why: 'Pod/test is in the render twice, which kustomize refuses' },
    ]);
    const nameless = remediesFor(request(rendered(hook.replace('name: test', 'generateName: test-')), wanted));
    expect(nameless.notOffered[0]?.why).toContain('has no name');
    const keys = remediesFor(
      request(rendered(hook, 'kind: X\napiVersion: v1\nmetadata: {name: a, name: b}\n'), wanted),
    );
    expect(keys.notOffered[0]?.why).toContain('unique');
    expect(remediesFor(request(everything, []))).toEqual({ offered: [], notOffered: [] });
    const gone = remediesFor(request(everything, [move('quay.io/not/there:1')]));
    expect(gone.offered).toEqual([]);
    expect(gone.notOffered.map(({ why }) => why)).toEqual([
      'quay.io/not/there:1: no render shows it',
      'quay.io/not/there:1: no render shows it',
    ]);
  });

  it('says so where a reference stays in some of its places, or under one profile', () => {
    const argument = deployment.replace('quay.io/in/argument:1', 'quay.io/hard/app:v1');
    const some = remedy('kustomize', rendered(argument), [move('quay.io/hard/app:v1')]);
    expect(some.reaches[0]).toMatchObject({ reached: 'some', why: expect.stringContaining('args[0]') as string });
    const profiles: RemedyRequest = {
      ...request(rendered(deployment), [move('quay.io/hard/app:v1')]),
      renders: [
        { profile: 'a', text: rendered(deployment) },
        { profile: 'b', text: rendered(argument) },
      ],
    };
    expect(remediesFor(profiles).offered.map(({ reaches }) => reaches[0]?.reached)).toEqual(['some', 'some']);
  });
});
