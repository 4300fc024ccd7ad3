import { labelLinesWith } from '../../charts/overrides/sameness.ts';
import { pairUp } from '../../charts/overrides/pair-up.ts';
import { sentinels } from '../../charts/overrides/sentinel.ts';
import type { Rendering, RenderValues } from '../../charts/overrides/port.ts';
import type { FoundReference } from '../../charts/discovery/found.ts';
import { merge, type ValuePath, type Values, withSetting } from '../../charts/values/tree.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { ValueSetting } from './helm-key.ts';
import { fillEdits } from './fill-edits.ts';
import { editsFor, type Renaming } from './retarget-edits.ts';

export interface RetargetRequest {
  /** The user's values. */
  readonly values: Values;
  /** Overrides that point the images at `prefix` and their name as written. */
  readonly overrides: Values;
  /** The chart's values and the user's over them. */
  readonly effective: Values;
  readonly prefix: string;
  /** Host of the target. */
  readonly registry: string;
  readonly renamings: readonly Renaming[];
  /** References that no single value moves: `long` is the reference itself. */
  readonly open: readonly Renaming[];
  /** Helm key that a list has for an image. */
  readonly keyOf: (reference: string) => string | undefined;
  readonly render: RenderValues;
  readonly signal: AbortSignal;
}

export interface Retargeted {
  /** Overrides with the short names, where the chart lets them be set. */
  readonly overrides: Values;
  /** Names that the chart renders at the target, to the reference that each stands for. */
  readonly names: ReadonlyMap<string, string>;
}

type Rendered = Extract<Rendering, { readonly kind: 'rendered' }>;

/**
 * Gives images at the target the names that the path rule wants, where a render shows that the chart can name them so; the
 * others keep their name as written, under the prefix as well. All at once first; when that breaks something, value by value.
 * @throws ReplicationError `refused` when the chart does not render with the overrides that were proven before
 */
export async function retarget(request: RetargetRequest): Promise<Retargeted> {
  const { values, overrides, render, signal, effective } = request;
  const before = await render(merge(values, overrides), signal);
  if (before.kind !== 'rendered')
    throw new ReplicationError('refused', `helm does not render the chart twice in the same way: ${before.why}`);
  const edits = editsFor(request);
  const look = async (settings: readonly ValueSetting[]): Promise<Look | undefined> => {
    const changed = settings.reduce<Values>((all, { path, value }) => put(all, effective, path, value), overrides);
    const after = await render(merge(values, changed), signal);
    return after.kind === 'rendered' ? lookAt(request, before, after, changed, settings) : undefined;
  };
  const firstWays: readonly ValueSetting[] = edits.flatMap(({ ways }) => [...(ways[0] ?? [])]);
  const all = await look(firstWays);
  const fills = fillEdits(request.open, effective, request.keyOf);
  if (all?.complete === true && fills.length === 0) return { overrides: all.overrides, names: all.names };
  let accepted = all?.complete === true ? firstWays : [];
  let best = all?.complete === true ? all : await look(accepted);
  for (const { ways } of all?.complete === true ? fills : [...edits, ...fills]) {
    for (const way of ways) {
      const tried = await look([...accepted, ...way]);
      if (tried === undefined || best === undefined || tried.short <= best.short) continue;
      accepted = [...accepted, ...way];
      best = tried;
    }
  }
  if (best === undefined) throw new ReplicationError('refused', 'helm does not render the chart twice in the same way');
  return { overrides: best.overrides, names: best.names };
}

/** A setting of the overrides; what is not in them yet goes over the chart's values, lists included. */
function put(overrides: Values, effective: Values, path: ValuePath, value: string): Values {
  return withSetting(overrides, effective, path, value);
}

interface Look {
  readonly overrides: Values;
  readonly names: ReadonlyMap<string, string>;
  /** How well it does: references that have their short name, and those that have at least its repository. */
  readonly short: number;
  /** Every reference that values move has its short name. */
  readonly complete: boolean;
}

/** `undefined` when a reference that was at the target is elsewhere now, another one changed, or a label would hold a name. */
function lookAt(
  { prefix, renamings, open }: RetargetRequest,
  before: Rendered,
  after: Rendered,
  overrides: Values,
  settings: readonly ValueSetting[],
): Look | undefined {
  const byLong = new Map([...renamings, ...open].map((each) => [each.long, each]));
  const pairs = pairUp(before.references, after.references, sentinels(prefix, []));
  if (pairs.length !== before.references.length || before.references.length !== after.references.length)
    return undefined;
  // Kubernetes takes no slash in a label.
  if (settings.some(({ value }) => value.includes('/') && labelLinesWith(after.text, value).length > 0))
    return undefined;
  const names = new Map<string, string>();
  let short = 0;
  let complete = true;
  for (const [was, now] of pairs) {
    const renaming = byLong.get(was.text);
    if (renaming === undefined) {
      if (was.text !== now.text) return undefined;
      continue;
    }
    // Not moved yet.
    if (now.text === renaming.reference) continue;
    if (!isFree(names, now, renaming) || !isOneOf(now.text, renaming)) return undefined;
    names.set(now.text, renaming.reference);
    if (now.text === renaming.short) short += 2;
    else if (now.text !== renaming.long) short += 1;
    if (now.text !== renaming.short) complete = false;
  }
  return { overrides, names, short, complete };
}

function isFree(names: ReadonlyMap<string, string>, { text }: FoundReference, { reference }: Renaming): boolean {
  const holder = names.get(text);
  return holder === undefined || holder === reference;
}

/** The long name, the short one, or the short one with the tag that the chart insists on. */
function isOneOf(text: string, { long, short }: Renaming): boolean {
  if (text === long || text === short) return true;
  const name = short.replace(/@.*$/, '').replace(/:[^:/]+$/, '');
  return text === `${name}${long.slice(long.replace(/@.*$/, '').replace(/:[^:/]+$/, '').length)}`;
}
