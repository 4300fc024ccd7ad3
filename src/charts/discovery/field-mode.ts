import type { ObjectIdentity } from './found.ts';

/**
 * How an object's fields are read. `builtin`: Kubernetes says which fields are images; strings count in arguments,
 * environment and annotations only. `custom`: an operator's object: fields named after images count, and any string
 * may hold one. `definition`: only the defaults of fields. `secret`: nothing.
 */
export type FieldMode = 'builtin' | 'custom' | 'definition' | 'secret';

/** Groups of Kubernetes' own API (https://kubernetes.io/docs/reference/kubernetes-api/); all others are custom resources. */
const builtinGroup =
  /^(?:|apps|batch|autoscaling|policy|extensions|(?:admissionregistration|apiextensions|apiregistration|authentication|authorization|certificates|coordination|discovery|events|flowcontrol\.apiserver|internal\.apiserver|networking|node|rbac\.authorization|resource|scheduling|storage|storagemigration)\.k8s\.io)$/;

/** Tells from an object's kind and API group how its fields are read. */
export function fieldMode({ apiVersion, kind }: ObjectIdentity): FieldMode {
  if (kind === 'Secret') return 'secret';
  if (kind === 'CustomResourceDefinition') return 'definition';
  const slash = apiVersion.indexOf('/');
  return builtinGroup.test(slash < 0 ? '' : apiVersion.slice(0, slash)) ? 'builtin' : 'custom';
}
