import { kustomizeRemedy } from './kustomize.ts';
import { kyvernoRemedy } from './kyverno.ts';
import type { Remedies, Remedy, RemedyRequest, Unusable } from './port.ts';

/**
 * Ways to re-point what no value of a chart moves, for those who cannot patch the chart: each is tried on the renders, says which of
 * the references it reaches, and is offered when it reaches any.
 */
export function remediesFor(request: RemedyRequest): Remedies {
  if (request.references.length === 0) return { offered: [], notOffered: [] };
  const name = objectName(request.key);
  const tried = [
    { kind: 'kustomize', made: kustomizeRemedy(request, name) },
    { kind: 'kyverno', made: kyvernoRemedy(request, name) },
  ] as const;
  const offered = tried.flatMap(({ made }) => (isOffered(made) ? [made] : []));
  const notOffered = tried.flatMap(({ kind, made }) => (isOffered(made) ? [] : [{ kind, why: whyNot(made) }]));
  return { offered, notOffered };
}

function isOffered(made: Remedy | Unusable): made is Remedy {
  return made.kind !== 'unusable' && made.reaches.some(({ reached }) => reached !== 'none');
}

function whyNot(made: Remedy | Unusable): string {
  if (made.kind === 'unusable') return made.why;
  return [...new Set(made.reaches.map(({ text, why }) => `${text}: ${why ?? ''}`))].join('; ');
}

/** A name for Kubernetes and helm plugins: lower case letters, digits and hyphens. */
function objectName(key: string): string {
  const plain = key
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return `isolated-images-${plain}`.slice(0, 63).replace(/-+$/, '');
}
