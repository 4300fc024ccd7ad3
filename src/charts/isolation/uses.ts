import type { Values } from '../values/tree.ts';
import type { Profile } from '../overrides/port.ts';
import type { Look } from './renders.ts';

/** A profile with what it shows. `values` is all that helm is given, the declared overrides included. */
export interface Use {
  readonly profile: Profile;
  readonly values: Values;
  readonly look: Extract<Look, { readonly kind: 'rendered' }>;
}

/** What the chart writes where the declared overrides give this name. */
export function originalOf(text: string, originals: ReadonlyMap<string, string>, prefix: string): string {
  return originals.get(text) ?? text.slice(prefix.length);
}
