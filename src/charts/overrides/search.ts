import type { Digest } from '../../model/digest.ts';
import type { FoundReference } from '../discovery/found.ts';
import { type Choice, choiceFor, type Need } from './assign.ts';
import { type Candidate, candidatesFor, type Stage, stages } from './candidates.ts';
import { outcomesOf, type RefusedCandidate } from './outcomes.ts';
import { isInProfileList, namedInLists } from './profile-lists.ts';
import { findPins, type Pins } from './pin.ts';
import type { Derivation, DeriveRequest, Setting } from './port.ts';
import { type Baseline, type Landing, probe } from './probe.ts';
import { type ProofAndTexts, prove } from './prove.ts';
import { type Sentinels, sentinels } from './sentinel.ts';
import type { Spending } from './spending.ts';
import type { TemplateKeys } from './template-keys.ts';
import { formatPath, textOf, withSetting, type ValuePath, type Values } from '../values/tree.ts';

/** A set of choices that is good enough is looked for this often; each round drops what the proof of the last one disliked. */
const maxRounds = 3;

/** Runs the stages, proves what they give, and drops what the proof dislikes. */
export async function searchOverrides(
  request: DeriveRequest,
  baselines: readonly Baseline[],
  keys: TemplateKeys,
  purse: Spending,
): Promise<Derivation> {
  const search = new OverrideSearch(request, baselines, keys, purse);
  let selection = await search.select();
  const pinned = await search.pin(selection);
  if (pinned !== undefined) {
    const proof = await search.prove(selection, pinned);
    if (proof.holds) return search.result(selection, proof, pinned);
  }
  let proof = await search.prove(selection);
  for (let round = 1; round < maxRounds && !proof.holds && search.ban(selection, proof); round += 1) {
    selection = await search.select();
    proof = await search.prove(selection);
  }
  return search.result(selection, proof);
}

/** Which choices are used, and for what. */
export interface Selection {
  readonly choices: readonly Choice[];
  readonly by: ReadonlyMap<Need, Choice>;
}

class OverrideSearch {
  readonly #request: DeriveRequest;
  readonly #baselines: readonly Baseline[];
  readonly #keys: TemplateKeys;
  readonly #purse: Spending;
  readonly #sentinels: Sentinels;
  readonly #needs: ReadonlyMap<FoundReference, Need>;
  readonly #tried = new Set<string>();
  readonly #banned = new Set<string>();
  readonly #refusals = new Map<string, RefusedCandidate>();
  readonly #inner = new Map<string, readonly ValuePath[]>();
  /** References that nobody wants to be moved, and that a chosen value moves: guesses that are no images. */
  readonly #carried = new Map<FoundReference, string>();
  #choices: Choice[] = [];

  constructor(request: DeriveRequest, baselines: readonly Baseline[], keys: TemplateKeys, purse: Spending) {
    this.#request = request;
    this.#baselines = baselines;
    this.#keys = keys;
    this.#purse = purse;
    this.#sentinels = sentinels(
      request.prefix,
      baselines.map(({ text }) => text),
    );
    this.#needs = new Map(baselines.flatMap((baseline) => needsOf(baseline, request.target)));
  }

  async select(): Promise<Selection> {
    for (const stage of stages) {
      const pending = this.#pending(stage);
      if (pending.length === 0) continue;
      await this.#try(stage, pending);
    }
    return this.#selection();
  }

  /** References that this stage may still find a value, or a better one, for. */
  #pending(stage: Stage): readonly Need[] {
    const { by } = this.#selection();
    return [...this.#needs.values()].filter((need) => {
      const choice = by.get(need);
      if (choice === undefined) return true;
      return choice.weak && (stage === 'empty' || (stage === 'global' && choice.setting.insideList));
    });
  }

  async #try(stage: Stage, pending: readonly Need[]): Promise<void> {
    const wanted = [...new Set(pending.map(({ found }) => found.text))];
    const trees = this.#baselines.map(({ tree }) => tree);
    const all = candidatesFor(stage, { keys: this.#keys, trees, wanted, tried: this.#tried });
    const candidates = all.filter(({ path }) => !isInProfileList(path, this.#baselines));
    if (candidates.length === 0) return;
    const strong = this.#overridesOf(this.#selection().choices.flatMap(({ weak, setting }) => (weak ? [] : [setting])));
    const landings: Landing[] = [];
    for (const baseline of this.#baselines) {
      if (!pending.some(({ profile }) => profile === baseline.profile)) continue;
      const result = await probe(candidates, baseline, strong, this.#sentinels, this.#purse);
      landings.push(...result.landings);
      for (const refusal of result.refusals) {
        const candidate = candidates.find(({ path }) => path === refusal.path);
        if (candidate !== undefined) this.#refusals.set(formatPath(refusal.path), { ...refusal, candidate, moves: [] });
      }
      for (const [text, paths] of result.inner) this.#inner.set(text, paths);
    }
    for (const { path } of candidates) this.#tried.add(formatPath(path));
    const open = new Set(pending);
    for (const candidate of candidates)
      this.#choose(
        candidate,
        landings.filter((each) => each.candidate === candidate),
        open,
      );
  }

  #choose(candidate: Candidate, landings: readonly Landing[], pending: ReadonlySet<Need>): void {
    const needed = landings.flatMap((landing) => {
      const need = this.#needs.get(landing.found);
      return need === undefined ? [] : [{ ...landing, need }];
    });
    const unneeded = landings.filter(({ found }) => !this.#needs.has(found));
    // A host that the cluster can reach is to stay: only guesses that no registry confirms may move along.
    if (unneeded.some(({ found }) => found.kind !== 'text')) return;
    // What another value moves already needs no second one, which may win over that (a whole image over its registry).
    if (!needed.some(({ need }) => pending.has(need))) return;
    const choice = choiceFor(candidate, needed, this.#request.prefix);
    if (choice === undefined) return;
    const harmed = needed.filter(({ need }) => !choice.serves.has(need)).map(({ found }) => found.text);
    if (harmed.length > 0) {
      const served = [...choice.serves.keys()].map(({ found }) => found.text);
      const why = `${listed(harmed)} would move along with ${listed(served)}, and to no name of its own`;
      const moves = needed.map(({ found }) => found.text);
      this.#refusals.set(formatPath(candidate.path), { path: candidate.path, why, candidate, moves });
      return;
    }
    for (const { found, rest } of unneeded) this.#carried.set(found, `${choice.setting.value}${rest}`);
    // What it takes over from earlier choices (a global registry wins over an image's own) is its own from now on.
    const overruled = choice.weak ? this.#choices : this.#choices.map((each) => without(each, choice.serves));
    this.#choices = [...overruled.filter(({ serves }) => serves.size > 0), choice];
  }

  #selection(): Selection {
    const by = new Map<Need, Choice>();
    const strongFirst = [...this.#choices].sort((a, b) => Number(a.weak) - Number(b.weak));
    for (const choice of strongFirst) for (const need of choice.serves.keys()) if (!by.has(need)) by.set(need, choice);
    const used = new Set(by.values());
    return { by, choices: this.#choices.filter((choice) => used.has(choice)) };
  }

  #overridesOf(settings: readonly Setting[]): Values {
    const tree = this.#baselines[0]?.tree ?? {};
    return settings.reduce<Values>((values, setting) => withSetting(values, tree, setting.path, setting.value), {});
  }

  prove(selection: Selection, pins: Pins = noPins): Promise<ProofAndTexts> {
    const names = new Map([...namesOf(selection), ...pins.names]);
    const values = new Map(selection.choices.map(({ setting }) => [setting.value, textOf(setting.before)]));
    const overrides = this.#overrides(selection, pins);
    return prove({ baselines: this.#baselines, overrides, names, carried: this.#carried, values }, this.#purse);
  }

  #overrides(selection: Selection, pins: Pins): Values {
    return this.#overridesOf(settingsOf(selection, pins));
  }

  /** Values that pin by digest, when that is wanted and there are any. */
  async pin(selection: Selection): Promise<Pins | undefined> {
    const { pin } = this.#request;
    if (pin === undefined) return undefined;
    const digests = new Map<Need, Digest>();
    for (const need of selection.by.keys()) {
      const digest = need.found.text.includes('@') ? undefined : pin(need.found.text);
      if (digest !== undefined) digests.set(need, digest);
    }
    const names = namesOf(selection);
    const overrides = this.#overrides(selection, noPins);
    const wholes = selection.choices
      .map(({ setting }) => setting)
      .filter(({ role, value }) => role === 'image' && [...names.values()].includes(value));
    const request = {
      baselines: this.#baselines,
      overrides,
      names,
      digests,
      wholes,
      keys: this.#keys,
      sentinels: this.#sentinels,
    };
    const pins = await findPins(request, this.#purse);
    return pins.settings.length === 0 ? undefined : pins;
  }

  /** Takes choices out that the proof speaks against. Gives whether there was one. */
  ban(selection: Selection, proof: ProofAndTexts): boolean {
    const failed = new Set(proof.failures.map(({ found }) => found));
    const texts = [...proof.unexplained.map(({ after }) => after), ...proof.failures.map(({ why }) => why)];
    const bad = selection.choices.filter(
      ({ setting, serves }) =>
        [...serves.keys()].some(({ found }) => failed.has(found)) || texts.some((text) => text.includes(setting.value)),
    );
    // Nothing is learned from a proof that dislikes them all.
    if (bad.length === 0 || (bad.length === selection.choices.length && bad.length > 1)) return false;
    for (const { setting } of bad) this.#banned.add(formatPath(setting.path));
    this.#choices = this.#choices.filter(({ setting }) => !this.#banned.has(formatPath(setting.path)));
    return true;
  }

  #unmoved({ by }: Selection): readonly string[] {
    return [...this.#needs.values()].filter((need) => !by.has(need)).map(({ found }) => found.text);
  }

  result(selection: Selection, proof: ProofAndTexts, pins: Pins = noPins): Derivation {
    const { holds, failures, derived, unexplained } = proof;
    return {
      kind: 'derived',
      values: this.#overrides(selection, pins),
      settings: settingsOf(selection, pins),
      references: outcomesOf({
        baselines: this.#baselines,
        needs: this.#needs,
        by: selection.by,
        became: proof.became,
        refusals: [...this.#refusals.values()],
        inner: this.#inner,
        inLists: namedInLists(this.#unmoved(selection), this.#baselines),
        pins: pins.by,
        spent: this.#purse.isSpent(),
      }),
      refusals: [...this.#refusals.values()].map(({ path, why }) => ({ path, why })),
      proof: { holds, failures, derived, unexplained },
      cost: this.#purse.cost(),
    };
  }
}

function listed(references: readonly string[]): string {
  return [...new Set(references)].join(', ');
}

const noPins: Pins = { settings: [], names: new Map(), by: new Map() };

function namesOf({ by }: Selection): ReadonlyMap<Need, string> {
  return new Map([...by].map(([need, choice]) => [need, choice.serves.get(need) ?? need.target]));
}

function settingsOf({ choices }: Selection, pins: Pins): readonly Setting[] {
  // A whole name that is pinned takes the place of the one that is not.
  const pinned = new Set(pins.settings.map(({ path }) => formatPath(path)));
  const rest = choices.map(({ setting }) => setting).filter(({ path }) => !pinned.has(formatPath(path)));
  return [...rest, ...pins.settings];
}

function needsOf(
  { profile, references }: Baseline,
  target: DeriveRequest['target'],
): readonly (readonly [FoundReference, Need])[] {
  return references.flatMap((found) => {
    const name = target(found.text);
    return name === undefined ? [] : [[found, { profile, found, target: name }] as const];
  });
}

function without(choice: Choice, taken: ReadonlyMap<Need, string>): Choice {
  return { ...choice, serves: new Map([...choice.serves].filter(([need]) => !taken.has(need))) };
}
