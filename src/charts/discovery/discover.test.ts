import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { discover, type DiscoveryMemo } from './discover.ts';

/** `kind text @ path` of everything found, spans and inner paths included. */
function found(rendered: string): readonly string[] {
  return discover(rendered).references.map(({ kind, text, place }) => {
    const inside = place.inside === undefined ? '' : ` > ${place.inside.join('.')}`;
    return `${kind} ${text} @ ${place.path.join('.')}${inside}`;
  });
}

const sha = `sha256:${'a'.repeat(64)}`;

describe('discovery of typed references', () => {
  it('finds every kind of container and image volumes in any pod spec, with its place', () => {
    const rendered = `---
# Source: web/templates/pod.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      initContainers: [{name: i, image: "quay.io/a/init:1"}]
      containers:
        - name: c
          image: nginx
        - {name: empty, image: ""}
      volumes:
        - {name: v, image: {reference: 'quay.io/a/files:2', pullPolicy: Always}}
---
# Source: web/charts/sub/templates/cr.yaml
apiVersion: things.example/v1
kind: Thing
metadata: {name: t}
spec:
  pods:
    - template: {spec: {ephemeralContainers: [{image: 'ghcr.io/x/y@${sha}'}]}}
`;
    expect(found(rendered)).toEqual([
      'typed quay.io/a/init:1 @ spec.template.spec.initContainers.0.image',
      'typed nginx @ spec.template.spec.containers.0.image',
      'typed quay.io/a/files:2 @ spec.template.spec.volumes.0.image.reference',
      `typed ghcr.io/x/y@${sha} @ spec.pods.0.template.spec.ephemeralContainers.0.image`,
    ]);
    const { references, objects, workloads } = discover(rendered);
    expect(references[1]?.place).toMatchObject({
      template: 'web/templates/pod.yaml',
      line: 10,
      object: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: 'shop' },
      span: undefined,
    });
    expect({ objects, workloads }).toEqual({ objects: 2, workloads: 2 });
  });

  it('reads lists of objects, duplicate keys, anchors, merge keys, JSON, hooks and several documents of one template', () => {
    const rendered = `---
# Source: web/templates/list.yaml
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: [{name: a, image: a/a:1}]}}
  - apiVersion: v1
    kind: PodList
    items: [{kind: Pod, apiVersion: v1, metadata: {name: two}, spec: {containers: [{name: a, image: a/b:1}]}}]
---
# Source: web/templates/list.yaml
apiVersion: batch/v1
kind: Job
metadata: {name: x}
metadata: {name: test, annotations: {"helm.sh/hook": test}}
spec:
  template:
    spec:
      containers:
        - &first {name: a, image: "a/c:1"}
        - {<<: *first, name: b}
        - {<<: *first, image: "a/d:1"}
---
# Source: web/templates/pod.json
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "j"}, "spec": {"containers": [{"name": "a", "image": "a/e:1"}]}}
`;
    const { references, broken } = discover(rendered);
    expect(references.map(({ text, place }) => `${place.object.name} ${text} ${place.line}`)).toEqual([
      'one a/a:1 4',
      'two a/b:1 7',
      'test a/c:1 16',
      'test a/c:1 16',
      'test a/d:1 18',
      'j a/e:1 1',
    ]);
    expect(broken).toEqual([]);
  });

  it('tells of a broken document and reads the others', () => {
    const rendered = `---
# Source: web/templates/bad.yaml
image: x
list: [
---
# Source: web/templates/pod.yaml
kind: Pod
metadata: {name: p}
spec: {containers: [{image: a/a}]}
`;
    const { references, broken } = discover(rendered);
    expect(references.map(({ text }) => text)).toEqual(['a/a']);
    expect(broken).toHaveLength(1);
    expect(broken[0]).toMatchObject({ template: 'web/templates/bad.yaml' });
  });

  it('bounds documents that grow through aliases or nest without end', () => {
    const bomb = Array.from({ length: 30 }, (_, i) => `a${i}: &a${i} [${i === 0 ? 'x' : `*a${i - 1}, *a${i - 1}`}]`);
    const deep = `image: q.io/a:1\ndeep: ${'['.repeat(20_000)}`;
    for (const text of [bomb.join('\n') + '\nimage: q.io/a:1\n', deep]) {
      expect(discover(`---\n# Source: x/templates/a.yaml\n${text}`).broken).toHaveLength(1);
    }
  });

  it('leaves placeholders, templates and secrets alone', () => {
    const pod = (image: string, annotation = '{}'): string => `---
# Source: web/templates/pod.yaml
apiVersion: v1
kind: Pod
metadata: {name: p, annotations: ${annotation}}
spec: {containers: [{name: a, image: "${image}"}]}
`;
    const injected = discover(pod('auto', '{inject.istio.io/templates: gateway}'));
    expect(injected.references).toEqual([]);
    expect(injected.notImages).toMatchObject([{ why: 'placeholder', text: 'auto' }]);
    expect(injected.workloads).toBe(1);
    expect(found(pod('auto'))).toEqual(['typed auto @ spec.containers.0.image']);
    const wrong = discover(pod('user:pass word@host/x'));
    expect(wrong.references).toEqual([]);
    expect(wrong.notImages).toMatchObject([{ why: 'not-a-reference', text: undefined }]);
    const secret = `---
# Source: web/templates/secret.yaml
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {password: ${Buffer.from('opensesame').toString('base64')}}
`;
    const leaked = discover(pod('quay.io/a/b:opensesame') + secret);
    expect(leaked.references).toEqual([]);
    expect(leaked.notImages).toMatchObject([{ why: 'holds-a-secret', text: undefined }]);
  });

  it('reads an unchanged document once for all renders', () => {
    const memo: DiscoveryMemo = new Map();
    const part = 'kind: Pod\nspec: {containers: [{image: a/a}]}\n';
    const first = discover(`---\n# Source: x/templates/a.yaml\n${part}`, memo);
    const second = discover(
      `---\n# Source: x/templates/b.yaml\nimage: 1\n---\n# Source: x/templates/b.yaml\n${part}`,
      memo,
    );
    expect(first.references[0]?.place).toMatchObject({ template: 'x/templates/a.yaml', line: 2 });
    expect(second.references[0]?.place).toMatchObject({ template: 'x/templates/b.yaml', line: 3 });
    expect(memo.size).toBe(2);
  });
});

describe('discovery in custom resources', () => {
  const custom = (spec: string): string =>
    `---\n# Source: op/templates/cr.yaml\napiVersion: x.example/v1\nkind: Thing\nmetadata: {name: t}\nspec: ${spec}\n`;

  it('finds image fields and references put together from parts', () => {
    expect(found(custom('{image: "quay.io/p/prometheus:v3", version: v3, imagePullPolicy: Always}'))).toEqual([
      'field quay.io/p/prometheus:v3 @ spec.image',
    ]);
    expect(
      found(custom('{sidecarImage: "a/b:1", imageName: "ghcr.io/pg/pg:16", baseImage: ubuntu, images: {x: "a/c:2"}}')),
    ).toEqual([
      'field a/b:1 @ spec.sidecarImage',
      'field ghcr.io/pg/pg:16 @ spec.imageName',
      'field a/c:2 @ spec.images.x',
    ]);
    expect(found(custom('{driver: {repository: nvcr.io/nvidia, image: driver, version: "1.10"}}'))).toEqual([
      'field nvcr.io/nvidia/driver:1.10 @ spec.driver',
    ]);
    expect(found(custom('{driver: {repository: nvcr.io/nvidia, image: driver, version: 1.10}}'))).toEqual([
      'field nvcr.io/nvidia/driver:1.10 @ spec.driver',
    ]);
    expect(found(custom(`{a: {registry: quay.io, repository: x/y, tag: "1", digest: "${sha}"}}`))).toEqual([
      `field quay.io/x/y:1@${sha} @ spec.a`,
    ]);
    expect(found(custom('{imageRepository: quay.io/a/b, imageTag: "3", image: ""}'))).toEqual([
      'field quay.io/a/b:3 @ spec',
    ]);
    expect(found(custom(`{image: quay.io/a/b, version: "${sha}"}`))).toEqual([`field quay.io/a/b@${sha} @ spec`]);
  });

  it('says which keys a reference was put together from', () => {
    const [one] = discover(custom('{d: {repository: q.io/n, image: driver, version: "1"}}')).references;
    expect(one?.parts).toEqual({ repository: 'repository', image: 'image', tag: 'version' });
  });

  it('takes nothing for an image that is none', () => {
    const none = [
      '{image: vgpu, repository: ""}',
      '{enabled: false, image: vgpu-manager}',
      '{repository: "https://github.com/a/b", version: "1"}',
      '{imagePullSecrets: [regcred], imagePullPolicy: IfNotPresent, imageTag: v1.2.3, imageRegistry: quay.io/a}',
      '{url: "https://quay.io/a/b:1", path: /a/b:1, endpoint: "example.com:8080", module: github.com/a/b}',
      '{taint: "node.kubernetes.io/not-ready:NoSchedule", log: "k8s.io/client-go/reflector.go:229"}',
      '{group: networking.k8s.io/v1, chart: {name: redis, version: "1.2"}, size: "10x20", arn: "arn:aws:iam::1:role/a"}',
      '{cron: "0 */1 * * *", time: "12:30", label: "app.kubernetes.io/name=x", email: a@b.example, flag: true}',
      '{name: web, tag: "1.0"}',
    ];
    for (const spec of none) expect(found(custom(spec)), spec).toEqual([]);
  });
});

describe('discovery in texts', () => {
  const pod = (container: string): string =>
    `---\n# Source: op/templates/d.yaml\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n    - ${container}\n`;
  const guesses = (container: string): readonly string[] =>
    discover(pod(container)).references.map(({ kind, text }) => `${kind} ${text}`);

  it('finds references in arguments, commands and environment', () => {
    expect(guesses('args: [--acme-image=quay.io/j/solver:1, --image, a/b:2, --addr=:80, --x=quay.io/z/plain]')).toEqual(
      ['text quay.io/j/solver:1', 'text a/b:2'],
    );
    expect(guesses('command: [sh, -c, "crane copy docker://quay.io/a/b:1 /tmp/x:y && run --image c/d:3"]')).toEqual([
      'text quay.io/a/b:1',
      'text c/d:3',
    ]);
    expect(
      guesses(`env:
        - {name: RELATED_IMAGE_PROXY, value: "org/proxy:1"}
        - {name: DEFAULT_BUILDER, value: "quay.io/s/maven:1.2"}
        - {name: IMAGE_PULL_POLICY, value: Always}
        - {name: IMAGE_TAG, value: v1}
        - {name: CACHE, value: "redis:6379"}
        - {name: TOOL_IMAGE, value: "busybox:1.36"}
        - {name: WEB, value: "https://quay.io/a/b:1"}`),
    ).toEqual(['text org/proxy:1', 'text quay.io/s/maven:1.2', 'text busybox:1.36']);
  });

  it('finds each line of a list, with its stretch of the text and its line', () => {
    const { references } = discover(
      pod(`env:
        - name: KAFKA_IMAGES
          value: |
            4.0=quay.io/s/kafka:4.0
            4.1=quay.io/s/kafka:4.1`),
    );
    expect(references.map(({ text, place }) => ({ text, line: place.line, span: place.span }))).toEqual([
      { text: 'quay.io/s/kafka:4.0', line: 9, span: { start: 4, end: 23 } },
      { text: 'quay.io/s/kafka:4.1', line: 10, span: { start: 28, end: 47 } },
    ]);
  });

  it('reads documents, properties and plain text of configuration, and parts under one beginning', () => {
    const rendered = `---
# Source: op/templates/cm.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data:
  config.yaml: |
    sidecar:
      image: "quay.io/a/sidecar:1"
      template:
        spec:
          containers: [{name: x, image: busybox}]
  config.json: '{"proxyImage": "a/proxy:2", "port": 80}'
  broken.tpl: |
    {{ if .Values.x }}
    image: quay.io/a/tpl:3
    {{ end }}
  note: see quay.io/a/note:4. Or https://quay.io/a/web:1
  trivy.repository: ghcr.io/a/trivy
  trivy.tag: "0.60"
  plain: nginx
`;
    expect(found(rendered)).toEqual([
      'text ghcr.io/a/trivy:0.60 @ data',
      'text quay.io/a/sidecar:1 @ data.config.yaml > sidecar.image',
      'text busybox @ data.config.yaml > sidecar.template.spec.containers.0.image',
      'text a/proxy:2 @ data.config.json > proxyImage',
      'text quay.io/a/tpl:3 @ data.broken.tpl',
      'text quay.io/a/note:4 @ data.note',
    ]);
    const document = `sidecar:\n  image: "quay.io/a/sidecar:1"\n`;
    const { place } = discover(rendered).references[1] ?? {};
    expect(document.slice(place?.span?.start, place?.span?.end)).toBe('quay.io/a/sidecar:1');
    expect(place?.line).toBe(7);
  });

  it('finds annotations, and defaults of definitions but not their examples', () => {
    const rendered = `---
# Source: op/templates/d.yaml
apiVersion: v1
kind: Pod
metadata: {name: p, annotations: {side.example/image: "a/side:1", note: "b/none:2", app.kubernetes.io/version: "1"}}
---
# Source: op/crds/t.yaml
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: t}
spec:
  versions:
    - schema:
        openAPIV3Schema:
          properties:
            image: {type: string, default: "quay.io/a/default:1", description: "such as quay.io/a/example:1"}
            containers: {type: array, items: {properties: {image: {type: string}}}}
`;
    expect(found(rendered)).toEqual([
      'text a/side:1 @ metadata.annotations.side.example/image',
      'text quay.io/a/default:1 @ spec.versions.0.schema.openAPIV3Schema.properties.image.default',
    ]);
  });

  it('finds parts under names of their own, and images in blocks', () => {
    const rendered = `---
# Source: op/templates/k.yaml
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: k}
spec:
  nodeSelector: "kubernetes.io/os:linux"
  images:
    - name: app
      newName: ghcr.io/a/app
      newTag: v2
---
# Source: op/templates/p.yaml
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
    - name: a
      image: >-
        nginx
`;
    expect(found(rendered)).toEqual([
      'field ghcr.io/a/app:v2 @ spec.images.0',
      'typed nginx @ spec.containers.0.image',
    ]);
  });
});

describe('data that is not read for images', () => {
  const document = 'sidecar:\n  image: quay.io/a/hidden:1\n';
  const encoded = Buffer.from(document).toString('base64');
  const release = Buffer.from(gzipSync(document).toString('base64')).toString('base64');
  const unread = (rendered: string) =>
    discover(rendered).unread.map(({ place, why }) => [why, place.object.kind, place.path.join('.'), place.line]);

  it('is told of Secrets, without what they say', () => {
    const rendered = `---
# Source: op/templates/s.yaml
apiVersion: v1
kind: Secret
metadata: {name: s}
data:
  config: ${encoded}
  password: ${Buffer.from('correct horse battery').toString('base64')}
stringData:
  plain.yaml: "image: quay.io/a/hidden:1"
  auths.json: '{"auths": {"https://index.docker.io/v1/": {"auth": "eA=="}}}'
`;
    expect(unread(rendered)).toEqual([
      ['secret', 'Secret', 'data.config', 5],
      ['secret', 'Secret', 'stringData.plain.yaml', 8],
    ]);
    expect(JSON.stringify(discover(rendered))).not.toContain('hidden');
  });

  it('is told of encoded and compressed data in ConfigMaps', () => {
    const rendered = `---
# Source: op/templates/c.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data:
  release: ${release}
  key: ${Buffer.from('nothing but text, and a lot of it').toString('base64')}
binaryData:
  config: ${encoded}
  broken: H4sIAAAAAAAAA0vLzwcAIWVzjAMAAAA=
`;
    expect(unread(rendered)).toEqual([
      ['encoded', 'ConfigMap', 'data.release', 5],
      ['encoded', 'ConfigMap', 'binaryData.config', 8],
    ]);
    expect(found(rendered)).toEqual([]);
  });
});
