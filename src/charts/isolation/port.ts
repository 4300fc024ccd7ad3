import type { Values } from '../values/tree.ts';
import type { Digest } from '../../model/digest.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import type { Chart } from '../chart.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Profile } from '../overrides/port.ts';
import type { Patched } from '../patch/port.ts';
import type { Remedies } from '../remedies/port.ts';
import type { Renderer } from '../render/port.ts';

/** A chart whose images are to be found and pointed at the target. */
export interface IsolationRequest {
  /** Key in the data files. */
  readonly key: string;
  readonly chart: Chart;
  /** The packaged chart (.tgz). */
  readonly archive: Uint8Array;
  /** `registry/path/name:tag` of the chart at the target. */
  readonly chartTarget: string;
  readonly kubeVersion: string;
  readonly apiVersions: readonly string[];
  /** The data file's `values` of the chart. */
  readonly values: Values;
  /** What the declared paths set. These win over everything. */
  readonly declared: Values;
  /** Images that are declared, and so in the plan already: name at the target, to what the chart writes. */
  readonly declaredImages: ReadonlyMap<string, string>;
  /** Values under which the chart is also used. */
  readonly profiles: readonly Profile[];
  /** Also find, copy and re-point what a condition hides (`conditionalImages: copy`). */
  readonly copyConditional: boolean;
  /** What every target begins with: `<registry>/<project>-`. */
  readonly prefix: string;
  /** Whether a reference leads to a host that the cluster can reach. */
  readonly isAllowed: (reference: string) => boolean;
  /** Whether a registry has it; false when it says no, rejects when it cannot be asked. */
  readonly exists: (reference: string, signal: AbortSignal) => Promise<boolean>;
  /** Set to pin by digest wherever the chart can: what an image will have at the target; `undefined` when that cannot be told. */
  readonly digestOf?: ((reference: string, signal: AbortSignal) => Promise<Digest | undefined>) | undefined;
  readonly renderer: Renderer;
  readonly signal: AbortSignal;
}

/** An image that a chart needs beside the declared ones. */
export interface FoundImage {
  /** As the chart writes it. */
  readonly reference: string;
  /** The name that the chart asks for with its overrides: where the image has to be. */
  readonly target: string;
  /** Set when the chart is to ask for exactly this content. */
  readonly digest: Digest | undefined;
  readonly place: FoundReference['place'];
}

export interface IsolatedChart {
  /** What is published: the data file's `values`, the derived overrides, and over them the declared ones. */
  readonly values: Values;
  /** These without the data file's `values`. */
  readonly overrides: Values;
  readonly images: readonly FoundImage[];
  /** What is known before the copy: no reference is proven yet. Without profiles when the chart could not be rendered. */
  readonly isolation: ChartIsolation;
  /** The profiles under which the chart renders, that of conditional images among them. */
  readonly uses: readonly Profile[];
  /** Set when the chart itself was changed (UncontrolledImages=PATCH): what is replicated instead of the archive that was fetched. */
  readonly patched?: Patched | undefined;
  /** Ways to reach what is still uncontrolled, each tried; absent when there is no such reference. */
  readonly remedies?: Remedies | undefined;
}

/** Name of the profile under which conditional images are switched on. */
export const conditionalProfile = 'conditional images';
