import * as z from 'zod';
import type { Move } from '../patch/port.ts';
import { below, isJsonMap, type Json, type JsonMap, textAt } from './objects.ts';

/**
 * The part of a ClusterPolicy that is generated: https://kyverno.io/docs/policy-types/cluster-policy/mutate/ (foreach). Also the
 * check of what is generated, and what the simulation understands; anything else is an error here.
 */
const Condition = z.strictObject({ key: z.string(), operator: z.literal('Equals'), value: z.string() });
const Foreach = z.strictObject({
  list: z.string().regex(/^request\.object\.spec\.\w+$/),
  preconditions: z.strictObject({ all: z.array(Condition) }),
  patchStrategicMerge: z.strictObject({ spec: z.record(z.string(), z.array(z.looseObject({ name: z.string() }))) }),
});
const Rule = z.strictObject({
  // Kyverno refuses longer names.
  name: z.string().max(63),
  match: z.strictObject({
    any: z.array(
      z.strictObject({
        resources: z.strictObject({
          kinds: z.array(z.literal('Pod')),
          operations: z.array(z.enum(['CREATE', 'UPDATE'])),
        }),
      }),
    ),
  }),
  preconditions: z.strictObject({
    all: z.array(z.strictObject({ key: z.string(), operator: z.literal('GreaterThanOrEquals'), value: z.literal(1) })),
  }),
  mutate: z.strictObject({ foreach: z.array(Foreach).min(1) }),
});
export const KyvernoPolicy = z.strictObject({
  apiVersion: z.literal('kyverno.io/v1'),
  kind: z.literal('ClusterPolicy'),
  metadata: z.strictObject({ name: z.string().max(63), annotations: z.record(z.string(), z.string()) }),
  spec: z.strictObject({ background: z.literal(false), rules: z.array(Rule).min(1) }),
});
export type KyvernoPolicy = z.infer<typeof KyvernoPolicy>;
type Foreach = z.infer<typeof Foreach>;

const lists = [
  { list: 'containers', key: '{{ element.image }}', image: (target: string): JsonMap => ({ image: target }) },
  { list: 'initContainers', key: '{{ element.image }}', image: (target: string): JsonMap => ({ image: target }) },
  {
    list: 'volumes',
    key: "{{ element.image.reference || '' }}",
    image: (target: string): JsonMap => ({ image: { reference: target } }),
  },
];

/**
 * A policy that gives pods the targets of exactly these references, whoever makes the pods. Templates in Deployments and the
 * like stay as they are (`autogen-controllers: none`), so that tools that compare them with their source see no drift.
 */
export function kyvernoPolicy(
  name: string,
  title: string,
  moves: readonly Move[],
  options: { readonly volumes: boolean },
): KyvernoPolicy {
  const used = lists.filter(({ list }) => list !== 'volumes' || options.volumes);
  const rules = used.map(({ list, key, image }) => ({
    name: `repoint-${list.toLowerCase()}`,
    match: { any: [{ resources: { kinds: ['Pod'], operations: ['CREATE', 'UPDATE'] } }] },
    // A list that is not there has the length 0.
    preconditions: {
      all: [
        { key: `{{ request.object.spec.${list} || \`[]\` | length(@) }}`, operator: 'GreaterThanOrEquals', value: 1 },
      ],
    },
    mutate: {
      foreach: moves.map(({ text, target }) => ({
        list: `request.object.spec.${list}`,
        preconditions: { all: [{ key, operator: 'Equals', value: text }] },
        patchStrategicMerge: { spec: { [list]: [{ name: '{{ element.name }}', ...image(target) }] } },
      })),
    },
  }));
  return KyvernoPolicy.parse({
    apiVersion: 'kyverno.io/v1',
    kind: 'ClusterPolicy',
    metadata: {
      name,
      annotations: {
        'policies.kyverno.io/title': title,
        'policies.kyverno.io/subject': 'Pod',
        'pod-policies.kyverno.io/autogen-controllers': 'none',
      },
    },
    spec: { background: false, rules },
  });
}

const template = [['spec', 'template', 'spec'], ['spec', 'jobTemplate', 'spec', 'template', 'spec'], ['spec']];
const podPaths: Readonly<Record<string, readonly string[] | undefined>> = {
  'v1 Pod': template[2],
  'apps/v1 Deployment': template[0],
  'apps/v1 StatefulSet': template[0],
  'apps/v1 DaemonSet': template[0],
  'apps/v1 ReplicaSet': template[0],
  'batch/v1 Job': template[0],
  'batch/v1 CronJob': template[1],
  'v1 ReplicationController': template[0],
};

/** The pod spec of an object from which Kubernetes itself makes pods, else `undefined`. */
export function podSpecOf(object: JsonMap): JsonMap | undefined {
  const path = podPaths[`${textAt(object, 'apiVersion')} ${textAt(object, 'kind')}`];
  return path === undefined ? undefined : below(object, ...path);
}

/** What the policy does to a pod of this spec when it is created, in place. Understands what `kyvernoPolicy` writes. */
export function admitPod(spec: JsonMap, policy: KyvernoPolicy): void {
  for (const { mutate } of policy.spec.rules) for (const each of mutate.foreach) applyForeach(spec, each);
}

function applyForeach(spec: JsonMap, { list, preconditions, patchStrategicMerge }: Foreach): void {
  const elements = spec[list.slice('request.object.spec.'.length)];
  if (!Array.isArray(elements)) return;
  // The elements are those of the object as it came to the rule: one change does not lead to the next.
  for (const element of structuredClone(elements).filter(isJsonMap)) {
    if (!preconditions.all.every(({ key, value }) => substituted(key, element) === value)) continue;
    for (const [name, patches] of Object.entries(patchStrategicMerge.spec)) {
      for (const { name: item, ...rest } of patches) mergeByName(spec[name], substituted(item, element), rest);
    }
  }
}

/** `{{ element.a.b }}`, also with `|| ''`. */
function substituted(text: string, element: JsonMap): string {
  const path = /^\{\{ element\.([\w.]+)(?: \|\| '')? \}\}$/.exec(text)?.[1];
  if (path === undefined) return text;
  const keys = path.split('.');
  return textAt(below(element, ...keys.slice(0, -1)), keys.at(-1) ?? '');
}

/** Strategic merge: containers and volumes of a pod are merged by name. */
function mergeByName(list: Json | undefined, name: string, patch: Readonly<Record<string, unknown>>): void {
  for (const item of Array.isArray(list) ? list : []) {
    if (isJsonMap(item) && item['name'] === name) mergeInto(item, patch);
  }
}

function mergeInto(map: JsonMap, patch: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(patch)) {
    const own = map[key];
    if (isJsonMap(own) && isJsonMap(value)) mergeInto(own, value);
    else if (typeof value === 'string') map[key] = value;
  }
}
