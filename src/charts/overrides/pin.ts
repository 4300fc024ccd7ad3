import { type Digest, digestHex } from '../../model/digest.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Need } from './assign.ts';
import { placeKey } from './pair-up.ts';
import type { Setting } from './port.ts';
import { type Baseline, renderMarked } from './probe.ts';
import type { Sentinels } from './sentinel.ts';
import type { Spending } from './spending.ts';
import type { TemplateKeys } from './template-keys.ts';
import { formatPath, isMap, leaves, maps, textOf, valueAt, type ValuePath, type Values } from '../values/tree.ts';

/** What is to be pinned: re-pointed references without a digest, with their names at the target. */
export interface PinRequest {
  readonly baselines: readonly Baseline[];
  readonly overrides: Values;
  readonly names: ReadonlyMap<Need, string>;
  readonly digests: ReadonlyMap<Need, Digest>;
  /** Overrides that are whole names already. */
  readonly wholes: readonly Setting[];
  readonly keys: TemplateKeys;
  readonly sentinels: Sentinels;
}

export interface Pins {
  readonly settings: readonly Setting[];
  /** Names with digest. */
  readonly names: ReadonlyMap<Need, string>;
  readonly by: ReadonlyMap<Need, readonly ValuePath[]>;
}

/** A value that takes a digest, and how: whole, as hex digits alone (grafana's `sha`), behind the tag, or behind the whole name. */
interface PinCandidate {
  readonly path: ValuePath;
  readonly form: 'digest' | 'hex' | 'tag' | 'image';
  /** For `tag` and `image`: the text before the `@`. */
  readonly tag: string;
}

/**
 * Finds values that pin references by digest: first those made for it, then tags that take `tag@sha256:…` where the chart
 * uses them for nothing but references (a label takes no `@`).
 */
export async function findPins(request: PinRequest, purse: Spending): Promise<Pins> {
  const found = new PinSearch(request, purse);
  for (const where of ['written', 'absent'] as const) {
    const misread = await found.attempt(digestCandidates(request, found.open(), where));
    if (misread.length > 0) await found.attempt(misread);
  }
  await found.attempt([...wholeCandidates(request), ...tagCandidates(request, found.open())]);
  return found.pins();
}

class PinSearch {
  readonly #request: PinRequest;
  readonly #purse: Spending;
  readonly #settings: Setting[] = [];
  readonly #names = new Map<Need, string>();
  readonly #by = new Map<Need, readonly ValuePath[]>();

  constructor(request: PinRequest, purse: Spending) {
    this.#request = request;
    this.#purse = purse;
  }

  open(): readonly Need[] {
    return [...this.#request.digests.keys()].filter((need) => !this.#names.has(need));
  }

  pins(): Pins {
    return { settings: this.#settings, names: this.#names, by: this.#by };
  }

  /** Gives the candidates that want their digest in the other form. */
  async attempt(candidates: readonly PinCandidate[]): Promise<readonly PinCandidate[]> {
    const { baselines, overrides, sentinels } = this.#request;
    const uses = candidates.map(() => new Map<Need, string>());
    const spoiled = new Set<number>();
    const misread = new Map<number, PinCandidate>();
    const isDone = candidates.length === 0 || this.open().length === 0;
    for (const baseline of isDone ? [] : baselines) {
      const marked = candidates.map(({ path, form, tag }, id) => {
        const mark = sentinels.markHex(id);
        return { path, mark, value: form === 'hex' ? mark : `${tag === '' ? '' : `${tag}@`}sha256:${mark}` };
      });
      const { renders } = await renderMarked({ candidates: marked, baseline, overrides }, this.#purse);
      for (const { text, references } of renders) {
        for (const [id, candidate] of candidates.entries()) {
          const other = otherForm(text, sentinels.markHex(id), candidate);
          if (other !== undefined) misread.set(id, other);
        }
        for (const [id, count] of counted(sentinels.withinHex(text))) {
          const here = references.filter((each) => each.text.includes(sentinels.markHex(id)));
          // Anything else that shows the value, such as a label, is not to get a digest.
          if (here.length < count) spoiled.add(id);
        }
        for (const [need, now] of this.#current(baseline, references)) {
          const id = sentinels.withinHex(now.text)[0];
          if (id !== undefined) uses[id]?.set(need, now.text);
        }
      }
    }
    for (const [id, candidate] of candidates.entries()) {
      if (!spoiled.has(id) && !misread.has(id))
        this.#take(candidate, sentinels.markHex(id), uses[id] ?? new Map<Need, string>());
    }
    return [...misread.values()];
  }

  *#current(baseline: Baseline, rendered: readonly FoundReference[]): Generator<readonly [Need, FoundReference]> {
    const own = [...this.#request.names.keys()].filter(({ profile }) => profile === baseline.profile);
    const there = new Map<string, FoundReference[]>();
    for (const each of rendered) there.set(placeKey(each), [...(there.get(placeKey(each)) ?? []), each]);
    const needs = new Map(own.map((need) => [need.found, need]));
    for (const found of baseline.references) {
      const now = there.get(placeKey(found))?.shift();
      const need = needs.get(found);
      if (now !== undefined && need !== undefined) yield [need, now];
    }
  }

  #take(candidate: PinCandidate, mark: string, uses: ReadonlyMap<Need, string>): void {
    const { digests, names } = this.#request;
    const digest = digests.get([...uses.keys()][0] ?? nobody);
    if (digest === undefined || !digest.startsWith('sha256:')) return;
    const fits = [...uses].every(
      ([need, text]) =>
        digests.get(need) === digest && !this.#names.has(need) && isPinned(text, names.get(need) ?? '', mark),
    );
    if (!fits) return;
    const value =
      candidate.form === 'hex' ? digestHex(digest) : `${candidate.tag === '' ? '' : `${candidate.tag}@`}${digest}`;
    const tree = this.#request.baselines[0]?.tree ?? {};
    const role = candidate.form === 'hex' ? 'digest' : candidate.form;
    const insideList = candidate.path.some((key) => typeof key === 'number');
    this.#settings.push({ path: candidate.path, role, before: valueAt(tree, candidate.path), value, insideList });
    for (const [need, text] of uses) {
      this.#names.set(need, text.replace(mark, digestHex(digest)));
      this.#by.set(need, [candidate.path]);
    }
  }
}

const nobody: Need = {
  profile: '',
  target: '',
  found: {
    kind: 'text',
    text: '',
    place: {
      template: '',
      line: 0,
      object: { apiVersion: '', kind: '', name: '', namespace: undefined },
      path: [],
      span: undefined,
    },
  },
};

/** The name with the digest behind it; some charts leave the tag out then. */
function isPinned(text: string, name: string, mark: string): boolean {
  const end = `@sha256:${mark}`;
  const tag = name.lastIndexOf(':');
  const untagged = tag > name.lastIndexOf('/') ? name.slice(0, tag) : name;
  return text === `${name}${end}` || text === `${untagged}${end}`;
}

function otherForm(text: string, mark: string, candidate: PinCandidate): PinCandidate | undefined {
  if (candidate.form === 'digest' && text.includes(`sha256:sha256:${mark}`)) return { ...candidate, form: 'hex' };
  if (candidate.form === 'hex' && text.includes(`@${mark}`)) return { ...candidate, form: 'digest' };
  return undefined;
}

function counted(ids: readonly number[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

const digestKey = /^(?:image)?(?:digest|sha|sha256)$/i;
const tagKey = /^(?:image)?tag$|^version$/i;

/** Values for digests: empty ones in the values, or those that only templates read beside a name that a reference shows. */
function digestCandidates(
  { baselines, keys }: PinRequest,
  open: readonly Need[],
  where: 'written' | 'absent',
): readonly PinCandidate[] {
  const texts = open.map(({ found }) => found.text);
  const found = new Map<string, PinCandidate>();
  for (const { tree } of baselines) {
    const written = [...leaves(tree)].filter(({ path, empty }) => empty && digestKey.test(String(path.at(-1))));
    const absent = [...maps(tree)].flatMap(({ path, map }) =>
      showsImage(map, texts)
        ? keys.names.filter((name) => digestKey.test(name) && !Object.hasOwn(map, name)).map((name) => [...path, name])
        : [],
    );
    for (const path of where === 'written' ? written.map((leaf) => leaf.path) : absent) {
      const form = /sha(?:256)?$/i.test(String(path.at(-1))) ? 'hex' : 'digest';
      found.set(formatPath(path), { path, form, tag: '' });
    }
  }
  return [...found.values()];
}

function showsImage(map: Values, texts: readonly string[]): boolean {
  return Object.entries(map).some(
    ([key, value]) =>
      /image|repositor|name/i.test(key) &&
      textOf(value).length > 2 &&
      texts.some((text) => text.includes(textOf(value))),
  );
}

function wholeCandidates({ wholes }: PinRequest): readonly PinCandidate[] {
  return wholes.map(({ path, value }) => ({ path, form: 'image', tag: value }));
}

/** Tags as they are written, and open ones beside a name that a reference shows. */
function tagCandidates({ baselines }: PinRequest, open: readonly Need[]): readonly PinCandidate[] {
  const found = new Map<string, PinCandidate>();
  for (const { tree } of baselines) {
    for (const { path, text } of leaves(tree)) {
      if (!tagKey.test(String(path.at(-1)))) continue;
      const map = valueAt(tree, path.slice(0, -1));
      const names = isMap(map)
        ? Object.entries(map)
            .filter(([key]) => /image|repositor|name/i.test(key))
            .map(([, value]) => textOf(value))
        : [];
      const tags = open
        .filter(({ found: { text: written } }) => names.some((name) => name.length > 2 && written.includes(name)))
        .map(({ found: { text: written } }) => tagOf(written));
      const tag = text === '' ? tags[0] : text;
      if (
        tag !== undefined &&
        (tags.includes(tag) || open.some(({ found: { text: written } }) => tagOf(written) === tag))
      )
        found.set(formatPath(path), { path, form: 'tag', tag });
    }
  }
  return [...found.values()];
}

function tagOf(written: string): string | undefined {
  const tag = written.lastIndexOf(':');
  return tag > written.lastIndexOf('/') ? written.slice(tag + 1) : undefined;
}
