import type { RenderOutcome } from '../render/port.ts';
import { merge, type Values, withSetting } from '../values/tree.ts';
import type { ConditionalImage, Switch } from './conditional.ts';
import { discover, type DiscoveryMemo } from './discover.ts';
import type { FoundReference } from './found.ts';

/** What the chart renders with the switches of its conditional images on. */
export interface SwitchedOn {
  /** Values that turn on every switch that renders: a profile under which the chart's features can be copied and re-pointed. */
  readonly values: Values;
  readonly on: readonly Switch[];
  /** Switches that the chart refuses on, alone or with the others, in helm's words. They stay off. */
  readonly refused: readonly { readonly switches: readonly Switch[]; readonly why: string }[];
  /** References that the render with `values` has beyond the ones given. */
  readonly references: readonly FoundReference[];
  readonly renders: number;
}

/**
 * Finds out by rendering what conditional images really are. All switches at once first; what helm refuses is halved.
 * @param rendered references of the renders that are known already
 * @param render renders with these values over the ones that the user sets
 * @param maxRenders renders to spend; what is undecided then stays off
 */
export async function switchOn(
  images: readonly ConditionalImage[],
  rendered: readonly FoundReference[],
  render: (values: Values) => Promise<RenderOutcome>,
  options: { readonly memo?: DiscoveryMemo; readonly maxRenders?: number } = {},
): Promise<SwitchedOn> {
  const all = new Map(images.flatMap(({ switches }) => switches).map((each) => [each.path.join('.'), each]));
  const left = { renders: options.maxRenders ?? 8 };
  const budget = left.renders;
  const state: State = { on: [], refused: [], last: undefined };
  await tryOn([...all.values()], state, render, left);
  const known = new Set(rendered.map(({ text }) => text));
  const found = state.last === undefined ? [] : discover(state.last, options.memo).references;
  return {
    values: valuesFor(state.on),
    on: state.on,
    refused: state.refused,
    references: found.filter(({ text }) => !known.has(text)),
    renders: budget - left.renders,
  };
}

interface State {
  readonly on: Switch[];
  readonly refused: { readonly switches: readonly Switch[]; readonly why: string }[];
  /** The last render that went well: with all switches in `on`. */
  last: string | undefined;
}

async function tryOn(
  more: readonly Switch[],
  state: State,
  render: (values: Values) => Promise<RenderOutcome>,
  left: { renders: number },
): Promise<void> {
  if (more.length === 0) return;
  if (left.renders === 0) {
    state.refused.push({ switches: more, why: 'not tried: too many renders were refused before' });
    return;
  }
  left.renders -= 1;
  const outcome = await render(valuesFor([...state.on, ...more]));
  if (outcome.kind === 'rendered') {
    state.on.push(...more);
    state.last = outcome.text;
  } else if (more.length === 1) {
    state.refused.push({ switches: more, why: outcome.refusal.message });
  } else {
    const half = Math.ceil(more.length / 2);
    await tryOn(more.slice(0, half), state, render, left);
    await tryOn(more.slice(half), state, render, left);
  }
}

function valuesFor(switches: readonly Switch[]): Values {
  return switches.reduce<Values>((values, { path }) => merge(values, withSetting({}, {}, path, true)), {});
}
