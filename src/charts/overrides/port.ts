import type { Digest } from '../../model/digest.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { JsonLike } from '../helm-yaml.ts';
import type { ValuePath, Values } from '../values/tree.ts';

/** What one `helm template` gave: manifests and the references in them, or helm's own words why not. */
export type Rendering =
  | { readonly kind: 'rendered'; readonly references: readonly FoundReference[]; readonly text: string }
  | {
      readonly kind: 'refused';
      readonly why: string;
      /** Paths of the values that helm complains about (`image.registry`), as far as they can be told. */
      readonly values?: readonly string[];
    };

/**
 * Renders the one chart in question with these values over its own. Must be a function of the values but for what the
 * chart itself makes random.
 */
export type RenderValues = (values: Values, signal: AbortSignal) => Promise<Rendering>;

/** A named set of values under which a chart is also used; it goes over the data file's `values`. */
export interface Profile {
  readonly name: string;
  readonly values: Values;
}

/** A chart whose references are wanted at the target, and how it is rendered. */
export interface DeriveRequest {
  /** The packaged chart (.tgz): its values and its templates tell where to look. */
  readonly archive: Uint8Array;
  /** The data file's `values` of the chart. */
  readonly values: Values;
  /** The chart is used with `values` alone as well when this is empty or when a profile's values are. */
  readonly profiles: readonly Profile[];
  readonly render: RenderValues;
  /** What every target begins with: `<registry>/<project>-`. */
  readonly prefix: string;
  /**
   * The name that an image reference is wanted to have at the target, tag and digest kept. `undefined` for what needs
   * none: guesses that no registry confirms, placeholders, hosts that the cluster can reach.
   */
  readonly target: (written: string) => string | undefined;
  /** Set to pin by digest wherever the chart can: the digest that an image has at the target. */
  readonly pin?: ((written: string) => Digest | undefined) | undefined;
  /** Renders that may be spent, the proof included. Default 60: awkward charts need that many, most of them three. */
  readonly maxRenders?: number | undefined;
  readonly signal: AbortSignal;
}

/** What a value sets of a reference. `fragment`: only a part of its host, such as an account number. */
export type Role =
  'image' | 'registry' | 'repository' | 'tag' | 'digest' | 'global registry' | 'global repository' | 'fragment';

/** One value of the override set. */
export interface Setting {
  readonly path: ValuePath;
  readonly role: Role;
  readonly before: JsonLike | undefined;
  readonly value: string;
  /** The path leads through a list, which is then set as a whole (the EKS module appends lists when it merges values). */
  readonly insideList: boolean;
}

/** What values can do for a reference. */
export type Outcome =
  | {
      readonly kind: 'repointed';
      /** The name that the chart renders with the overrides: this is where the image has to be. */
      readonly target: string;
      /** Value paths that set it. */
      readonly by: readonly ValuePath[];
      readonly pinned: boolean;
    }
  /** No value moves it: it stands in a template, or is computed there. */
  | { readonly kind: 'uncontrolled'; readonly why: string }
  /** Values would move it, and helm refuses them (`why` has its own words), or Kubernetes would: they set a label too. */
  | { readonly kind: 'refused'; readonly by: readonly ValuePath[]; readonly why: string }
  /** The renders that were allowed are spent, and no value is known yet. */
  | { readonly kind: 'unknown'; readonly why: string }
  /** `target` gave no name for it. */
  | { readonly kind: 'left' };

/** What became of a reference, at one place, under these profiles. */
export interface ReferenceOutcome {
  readonly found: FoundReference;
  readonly profiles: readonly string[];
  readonly outcome: Outcome;
}

/** A line that differs between the two renders although references are masked. */
export interface Difference {
  readonly profile: string;
  readonly template: string;
  /** `checksum`: a hash of something that holds a reference. `value`: the override itself printed elsewhere. */
  readonly kind: 'checksum' | 'value' | 'other';
  readonly before: string;
  readonly after: string;
}

/** What a render with all overrides showed. */
export interface Proof {
  /** Every reference that a value controls is at its target, no other reference appeared, and nothing else changed. */
  readonly holds: boolean;
  /** References that should be at the target and are not, or that were not there before. */
  readonly failures: readonly { readonly profile: string; readonly found: FoundReference; readonly why: string }[];
  /** What follows from the references by the chart's own rules. */
  readonly derived: readonly Difference[];
  /** What differs for no reason that is known. */
  readonly unexplained: readonly Difference[];
}

/** A value that would move a reference if helm did not refuse it. */
export interface Refusal {
  readonly path: ValuePath;
  /** Helm's own words. */
  readonly why: string;
}

/** What the search has taken. */
export interface Cost {
  readonly renders: number;
  /** Spent in renders, discovery included. */
  readonly seconds: number;
}

/** What was found for a chart: values for its references, whether or not they move all of them, and the proof of it. */
export interface Derived {
  readonly kind: 'derived';
  /** The overrides, nested as a values file has them; without the data file's `values`. */
  readonly values: Values;
  readonly settings: readonly Setting[];
  readonly references: readonly ReferenceOutcome[];
  readonly refusals: readonly Refusal[];
  readonly proof: Proof;
  readonly cost: Cost;
}

/** What came of the search for overrides. */
export type Derivation =
  | Derived
  /** The chart does not render under this profile even without overrides. */
  | { readonly kind: 'refused'; readonly profile: string; readonly why: string; readonly cost: Cost };
