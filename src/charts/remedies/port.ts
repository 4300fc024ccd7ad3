import type { Move } from '../patch/port.ts';

/** A chart with references that no value moves, for which remedies are tried. */
export interface RemedyRequest {
  /** Key of the chart in the data files; objects are named after it. */
  readonly key: string;
  /** The chart rendered with its overrides, one text per profile (one each for install and upgrade where they differ), hooks included. */
  readonly renders: readonly { readonly profile: string; readonly text: string }[];
  /** What no value moves, as those renders show it. */
  readonly references: readonly Move[];
}

/** What a remedy does to one reference, as tried on the renders. */
export interface Reach extends Move {
  /** `all`: wherever it stands. `some`: it stays in the places that `why` names. `none`. */
  readonly reached: 'all' | 'some' | 'none';
  readonly why: string | undefined;
}

/** An entry of kustomize's `images` (https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/). */
export interface ImageRename {
  readonly name: string;
  readonly newName?: string;
  readonly newTag?: string;
  readonly digest?: string;
}

export interface Remedy {
  readonly kind: 'kustomize' | 'kyverno';
  /** Content by path: `post-render/kustomization.yaml`, `kyverno.yaml`. */
  readonly files: Readonly<Record<string, string>>;
  /** Each reference asked for, in their order. */
  readonly reaches: readonly Reach[];
  /** How to use it, and what to know about it; sentences. */
  readonly usage: readonly string[];
  /** Kustomize only: the entries of `images`, for tools that take them by themselves (Flux). They reach pods' containers and image volumes only. */
  readonly images: readonly ImageRename[];
}

export interface Remedies {
  /** Those that reach at least one reference. */
  readonly offered: readonly Remedy[];
  /** Why another one is not offered. */
  readonly notOffered: readonly { readonly kind: Remedy['kind']; readonly why: string }[];
}

/** A remedy that cannot be used on this chart at all. */
export interface Unusable {
  readonly kind: 'unusable';
  readonly why: string;
}
