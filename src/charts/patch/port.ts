import type { Digest } from '../../model/digest.ts';
import type { Difference, Rendering } from '../overrides/port.ts';

/** A reference as the chart renders it, and the name that it is to have instead. */
export interface Move {
  readonly text: string;
  readonly target: string;
}

/** A chart rendered as it is used: under one profile, with the data file's values and the overrides. */
export interface ProfileRendering {
  readonly profile: string;
  readonly rendering: Rendering;
}

/** Renders an archive under every profile of the chart. The archive given to it differs from call to call. */
export type RenderArchive = (archive: Uint8Array, signal: AbortSignal) => Promise<readonly ProfileRendering[]>;

/** What is to be replaced in a chart's own files, and how that is tried. */
export interface PatchRequest {
  /** The packaged chart (.tgz) as its repository has it. */
  readonly archive: Uint8Array;
  /** What no value moves, once each. */
  readonly references: readonly Move[];
  readonly render: RenderArchive;
  /** Whether a provenance file came with the chart: it signs the original archive and cannot go with the patched one. */
  readonly provenance?: boolean | undefined;
  /** Times that the chart may be rendered under all its profiles. Default 40; a plain chart needs three. */
  readonly maxRenders?: number | undefined;
  readonly signal: AbortSignal;
}

export interface Unpatched {
  readonly text: string;
  readonly why: string;
}

export interface MovedReference extends Move {
  /** Files of the chart that were changed for it; those of a packed subchart as `web/charts/sub.tgz!/sub/templates/a.yaml`. */
  readonly files: readonly string[];
}

/** A chart with changed references, proven by renders before and after. */
export interface Patched {
  readonly kind: 'patched';
  /** The new package. The same request gives the same bytes on every machine. */
  readonly archive: Uint8Array;
  readonly digest: Digest;
  readonly originalDigest: Digest;
  /** `<version>+isolated.<8 hex digits>` */
  readonly version: string;
  /** Unified diff without context, with the original's digest on top; its sha256 gives the version's digits. */
  readonly patch: string;
  readonly moved: readonly MovedReference[];
  /** What could not be patched, and why. */
  readonly left: readonly Unpatched[];
  /** Lines of the render that follow from the new version (`helm.sh/chart` labels, checksums). */
  readonly derived: readonly Difference[];
  /** For the reader: what the patched chart lost. */
  readonly notices: readonly string[];
  readonly renders: number;
}

/** A chart that stays as it is. */
export interface NotPatched {
  readonly kind: 'not-patched';
  readonly left: readonly Unpatched[];
  readonly renders: number;
}
