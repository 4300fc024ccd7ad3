import { describe, expect, it } from 'vitest';
import { typedReferences } from './references.ts';

describe('typedReferences', () => {
  it('finds containers of every kind, also in custom resources and lists, with their place', () => {
    const rendered = `---
# Source: web/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      initContainers: [{name: i, image: "quay.io/a/init:1"}]
      containers:
        - {name: c, image: nginx}
        - {name: empty, image: ""}
---
# Source: web/charts/sub/templates/cr.yaml
kind: Thing
metadata: {name: t}
spec:
  pods:
    - template: {spec: {ephemeralContainers: [{image: 'ghcr.io/x/y@sha256:${'a'.repeat(64)}'}]}}
---
# Source: web/templates/note.yaml
kind: ConfigMap
metadata: {name: n}
data: {image: not/typed:1}
`;
    expect(typedReferences(rendered)).toEqual([
      {
        reference: 'quay.io/a/init:1',
        template: 'web/templates/deployment.yaml',
        object: 'Deployment/web',
        path: 'spec.template.spec.initContainers[0].image',
      },
      {
        reference: 'nginx',
        template: 'web/templates/deployment.yaml',
        object: 'Deployment/web',
        path: 'spec.template.spec.containers[0].image',
      },
      {
        reference: `ghcr.io/x/y@sha256:${'a'.repeat(64)}`,
        template: 'web/charts/sub/templates/cr.yaml',
        object: 'Thing/t',
        path: 'spec.pods[0].template.spec.ephemeralContainers[0].image',
      },
    ]);
  });

  it('survives a document that is no YAML', () => {
    expect(
      typedReferences('---\nkind: [\n---\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: a}]}\n').map(
        (each) => each.reference,
      ),
    ).toEqual(['a']);
  });
});
