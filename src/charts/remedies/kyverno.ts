import { stringify } from 'yaml';
import type { Move } from '../patch/port.ts';
import { admitPod, kyvernoPolicy, type KyvernoPolicy, podSpecOf } from './kyverno-policy.ts';
import { readObjects, type RenderedObject } from './objects.ts';
import type { Reach, Remedy, RemedyRequest, Unusable } from './port.ts';
import { astray, describePlace, placesLeft, tryOn, type Tried } from './trial.ts';

/**
 * A Kyverno policy that changes images when pods are created: also those of hooks and of pods that operators make. Tried on the
 * pods that Kubernetes itself makes from the render.
 */
export function kyvernoRemedy(request: RemedyRequest, name: string): Remedy | Unusable {
  const all = request.renders.map(({ text }) => readObjects(text).objects);
  const probe = tryPolicy(all, kyvernoPolicy(name, name, request.references, { volumes: true }));
  const volumes = probe.some(({ found, now }) => now !== found.text && found.place.path.at(-1) === 'reference');
  const title = `Images of ${request.key} from the private registry`;
  const policy = kyvernoPolicy(name, title, request.references, { volumes });
  const tried = tryPolicy(all, policy);
  const wrong = astray(tried, request.references)[0];
  if (wrong !== undefined) return { kind: 'unusable', why: `the policy would change ${wrong.found.text} as well` };
  return {
    kind: 'kyverno',
    files: {
      'kyverno.yaml': stringify(policy, { lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' }),
    },
    reaches: request.references.map((move) => reachOf(move, tried)),
    usage: [
      'needs Kyverno 1.6 or newer in the cluster, running before the chart is installed: kubectl apply -f kyverno.yaml',
      'it applies to pods of all namespaces that name exactly these images, whoever makes them',
    ],
    images: [],
  };
}

function tryPolicy(all: readonly (readonly RenderedObject[])[], policy: KyvernoPolicy): readonly Tried[] {
  return all.flatMap((objects) =>
    tryOn(objects, (object) => {
      const spec = podSpecOf(object);
      if (spec !== undefined) admitPod(spec, policy);
    }),
  );
}

function reachOf(move: Move, tried: readonly Tried[]): Reach {
  const places = tried.filter(({ found }) => found.text === move.text);
  const left = placesLeft(tried, move);
  if (places.length === 0) return { ...move, reached: 'none', why: 'no render shows it' };
  if (left.length === 0) return { ...move, reached: 'all', why: undefined };
  const where = left.map(describePlace).slice(0, 3).join(', ');
  const why = `${where}: no image of a pod that Kubernetes makes from the render. Where an operator starts pods with exactly this image the policy changes them, which is not tried`;
  return { ...move, reached: left.length === places.length ? 'none' : 'some', why };
}
