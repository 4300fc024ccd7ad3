/** For tests of this folder only: a render with references in all sorts of places. */
import type { Move } from '../patch/port.ts';

export const prefix = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-';

export const move = (text: string): Move => ({ text, target: `${prefix}${text}` });

/** The documents as helm prints those of one template. */
export function rendered(...documents: readonly string[]): string {
  return documents.map((text) => `---\n# Source: web/templates/all.yaml\n${text}`).join('');
}

export const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: apps}
spec:
  template:
    metadata: {annotations: {example.com/agent.image: "quay.io/in/annotation:1"}}
    spec:
      initContainers:
        - {name: i, image: quay.io/hard/init:v1}
      containers:
        - name: a
          image: quay.io/hard/app:v1
          args: ["--sidecar-image=quay.io/in/argument:1", "--image", quay.io/after/flag:1]
          env:
            - {name: RELATED_IMAGE_X, value: quay.io/in/env:1}
        - {name: b, image: "${prefix}controlled:2"}
      volumes:
        - {name: v, image: {reference: quay.io/hard/volume:1}}
`;

export const hook = `apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: t, image: quay.io/only/hook:1}]}
`;

export const custom = `apiVersion: operator.example.com/v1
kind: Thing
metadata: {name: thing}
spec:
  image: quay.io/custom/field:1
  parts: {repository: quay.io/custom/parts, image: made, tag: "3"}
  workload: {spec: {containers: [{name: c, image: quay.io/custom/pod:1}]}}
`;

export const configuration = `apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data:
  a.yaml: |
    image: quay.io/in/document:1
`;

export const cronJob = `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {schedule: "0 0 * * *", jobTemplate: {spec: {template: {spec: {containers: [{name: j, image: quay.io/hard/job@sha256:${'0'.repeat(64)}}]}}}}}
`;

export const everything = rendered(deployment, hook, custom, configuration, cronJob);
