import type { Digest } from '../../model/digest.ts';
import type { ChartIsolation, IsolatedReference, IsolationPlace } from '../../model/isolation.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Profile } from '../overrides/port.ts';
import { merge, type Values } from '../values/tree.ts';
import type { Renderer } from '../render/port.ts';
import { mergeAppending } from './merge-lists.ts';
import { conditionalProfile } from './port.ts';
import { chartRenders } from './renders.ts';
import { byDigestAlone, noUpgrade, placeOf, placeText } from './texts.ts';

/** A chart at the target, to be proven with what is published for it. */
export interface ProofRequest {
  /** What was planned. */
  readonly isolation: ChartIsolation;
  /** The chart's archive as it was pulled back from the target. */
  readonly archive: Uint8Array;
  /** As the result has them. */
  readonly published: Values;
  /** These without the data file's `values`. */
  readonly overrides: Values;
  /** Profiles under which the chart renders. */
  readonly uses: readonly Profile[];
  readonly kubeVersion: string;
  readonly apiVersions: readonly string[];
  readonly prefix: string;
  readonly isAllowed: (reference: string) => boolean;
  /** Digest that was copied, by the name at the target. */
  readonly copied: ReadonlyMap<string, Digest>;
  /** What the target holds under a name now; `undefined` when it has nothing there. */
  readonly digestAt: (target: string, signal: AbortSignal) => Promise<Digest | undefined>;
  readonly renderer: Renderer;
  readonly signal: AbortSignal;
}

/**
 * Renders the chart from the target as it will be installed, and requires that every reference is at the target with the
 * content that was copied, or at an allowed host: with the published values over each profile's as a second values file, and
 * merged as the EKS module merges them. References that no value moves stay what they are.
 * @throws ReplicationError as `renderChart`, and as `digestAt`
 */
export async function proveChart(request: ProofRequest): Promise<ChartIsolation> {
  const { isolation } = request;
  const proof = new ChartProof(request);
  for (const use of request.uses) {
    for (const { how, values } of installations(request, use)) await proof.check(use.name, how, values);
  }
  return proof.result(isolation);
}

/** What was copied for a name; a name with tag and digest may have been copied by its digest alone. */
export function copiedAs(copied: ReadonlyMap<string, Digest>, target: string): Digest | undefined {
  return copied.get(target) ?? copied.get(byDigestAlone(target) ?? target);
}

interface Installation {
  readonly how: string;
  readonly values: Values;
}

/** The ways in which a chart's user may put profile and published values together; each but once. */
function installations({ published, overrides }: ProofRequest, { values }: Profile): readonly Installation[] {
  const ways = [
    { how: 'with the published values', values: merge(merge(published, values), overrides) },
    { how: 'with values merged as the EKS module merges them', values: mergeAppending(values, published) },
  ];
  const [first, second] = ways;
  return first !== undefined && JSON.stringify(first.values) === JSON.stringify(second?.values) ? [first] : ways;
}

/** Names of objects may be random, and lists longer than they were: neither says where a reference comes from. */
function leftKey(reference: string, { template, object, field }: IsolationPlace): string {
  const kind = object.slice(0, object.indexOf('/'));
  return [reference, template, kind, field.replaceAll(/\[\d+\]/g, '[]')].join('\0');
}

/** Whether a name ends in a whole reference: `…/demo-quay.io/team/web:1` in `quay.io/team/web:1`, and not in `eb:1`. */
function endsAs(name: string, reference: string): boolean {
  return name.endsWith(reference) && /[/-]$/.test(name.slice(0, name.length - reference.length));
}

class ChartProof {
  readonly #request: ProofRequest;
  readonly #renders: ReturnType<typeof chartRenders>;
  readonly #problems = new Set<string>();
  /** By name at the target. */
  readonly #wrong = new Map<string, string>();
  readonly #right = new Map<string, Digest>();
  /** How often references that nothing moves stand in a place. Elsewhere, and more often, they have to be at the target. */
  readonly #left = new Map<string, number>();

  constructor(request: ProofRequest) {
    this.#request = request;
    const { renderer, archive, isolation, kubeVersion, apiVersions } = request;
    const releaseName = isolation.key.replaceAll('_', '-').toLowerCase();
    this.#renders = chartRenders(renderer, { chart: archive, releaseName, kubeVersion, apiVersions });
    for (const { reference, outcome, places } of isolation.references) {
      if (outcome === 'repointed' || outcome === 'patched') continue;
      for (const key of places.map((place) => leftKey(reference, place)))
        this.#left.set(key, (this.#left.get(key) ?? 0) + 1);
    }
  }

  async check(profile: string, how: string, values: Values): Promise<void> {
    const look = await this.#renders.look(values, this.#request.signal);
    const where = profile === 'default' ? how : `${how}, profile ${profile}`;
    if (look.kind === 'refused') {
      this.#problems.add(`does not render ${where}: ${look.why}`);
      return;
    }
    const isKnown = this.#request.isolation.warnings.some((warning) => warning.startsWith(noUpgrade(profile)));
    if (look.upgradeRefusal !== undefined && !isKnown)
      this.#problems.add(`does not render for an upgrade ${where}: ${look.upgradeRefusal}`);
    const left = new Map(this.#left);
    const seen = new Set<string>();
    for (const found of look.references) {
      // One place can be read in two ways (a volume's image in a custom resource), and counts once.
      const exact = `${found.text}\0${JSON.stringify(placeOf(found.place))}`;
      const isSeen = seen.has(exact);
      seen.add(exact);
      const problem = isSeen || this.#isLeft(found, left) ? undefined : await this.#problemOf(found);
      if (problem === undefined) continue;
      const text = `${problem} (${placeText(placeOf(found.place))}, ${where})`;
      if (this.#isPlanned(found.text)) this.#wrong.set(found.text, text);
      else this.#problems.add(text);
    }
  }

  #isPlanned(text: string): boolean {
    return this.#request.isolation.references.some(({ target }) => target === text);
  }

  #isLeft({ text, place }: FoundReference, left: Map<string, number>): boolean {
    const key = leftKey(text, placeOf(place));
    const count = left.get(key) ?? 0;
    if (count === 0 || text.startsWith(this.#request.prefix)) return false;
    left.set(key, count - 1);
    return true;
  }

  async #problemOf({ text, kind }: FoundReference): Promise<string | undefined> {
    const { prefix, isAllowed, isolation, copied, digestAt, signal } = this.#request;
    if (!text.startsWith(prefix)) {
      if (isAllowed(text)) return undefined;
      if (kind !== 'typed' && isolation.rejected.some((each) => each.text === text)) return undefined;
      return `${text} is neither at the target nor at an allowed host`;
    }
    const wanted = copiedAs(copied, text);
    if (wanted === undefined) {
      // A guess that is no image, and that a value moves along with images.
      const isGuess = kind !== 'typed' && isolation.rejected.some((each) => endsAs(text, each.text));
      return isGuess ? undefined : `${text} was not copied`;
    }
    const there = await digestAt(text, signal);
    if (there === undefined) return `the target does not have ${text}`;
    if (there !== wanted) return `the target has ${there} as ${text}, and not ${wanted}, which was copied`;
    this.#right.set(text, wanted);
    return undefined;
  }

  result(planned: ChartIsolation): ChartIsolation {
    const references = planned.references.map((row) => this.#proven(row));
    const problems = [...new Set([...planned.problems, ...this.#problems])];
    const failed = references.some(({ proof }) => proof === 'failed');
    const cost = this.#renders.cost();
    return {
      ...planned,
      references,
      problems,
      holds: planned.holds && problems.length === 0 && !failed,
      renders: planned.renders + cost.renders,
      seconds: Math.round((planned.seconds + cost.seconds) * 1000) / 1000,
    };
  }

  #proven(row: IsolatedReference): IsolatedReference {
    if (row.outcome === 'allowed') return { ...row, proof: 'proven' };
    if (row.target === undefined || (row.outcome !== 'repointed' && row.outcome !== 'patched')) return row;
    const wrong = this.#wrong.get(row.target);
    const digest = this.#right.get(row.target);
    if (wrong !== undefined) return { ...row, proof: 'failed', problem: wrong };
    if (digest !== undefined) return { ...row, proof: 'proven', digest };
    const where = row.profiles.length === 0 ? ` under ${conditionalProfile}` : '';
    return { ...row, proof: 'failed', problem: `the chart from the target does not name ${row.target}${where}` };
  }
}
