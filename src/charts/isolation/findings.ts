import type { ChartIsolation, IsolatedReference } from '../../model/isolation.ts';
import type { Digest } from '../../model/digest.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Derived } from '../overrides/port.ts';
import type { Conditionals } from './conditionals.ts';
import type { DeclaredPins } from './pin-declared.ts';
import type { Rejected } from './rejected.ts';
import type { Use } from './uses.ts';

/** Everything that was found out about a chart before the copy. */
export interface Findings {
  readonly uses: readonly Use[];
  /** Outside references that need a place at the target. */
  readonly wanted: ReadonlySet<string>;
  /** Names that the declared overrides give to images that are not declared, to what the chart writes. */
  readonly moved: ReadonlyMap<string, string>;
  readonly rejected: readonly Rejected[];
  /** What the chart writes, by the name that the declared overrides make of it. */
  readonly originals: ReadonlyMap<string, string>;
  readonly hidden: Conditionals;
  readonly derivation: Derived;
  /** Digests for what is declared. */
  readonly pins: DeclaredPins;
  readonly cost: Pick<ChartIsolation, 'renders' | 'seconds'>;
}

/** A row of the report, with the first place that it stands for. */
export interface Row {
  readonly row: IsolatedReference;
  readonly found: FoundReference;
  /** The content that the chart pins, where we pinned it. */
  readonly digest: Digest | undefined;
}
