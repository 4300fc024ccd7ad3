import type { Origin } from '../../model/plan.ts';
import type { JsonMap } from './schema.ts';

/** A data file that was used. */
export interface UsedFile {
  readonly name: string;
  readonly path: string;
  /** `shipped` only when it is byte for byte (line ends apart) what came with the module. */
  readonly from: 'user' | 'shipped';
}

/** One part of an image reference, as a data file describes it. */
export type FieldEntry =
  | { readonly kind: 'literal'; readonly text: string; readonly origin: Origin }
  | {
      readonly kind: 'path';
      /** `values`: read from the chart's values and written to the overrides. `chart`: read from Chart.yaml, never written. */
      readonly location: 'values' | 'chart';
      readonly path: readonly string[];
      readonly subchart: string | undefined;
      readonly prefix: string;
      /** Takes the place of what the chart says (`replication` in the data file). Empty: the chart's value does not count. */
      readonly replacement: string | undefined;
      readonly origin: Origin;
    };

export interface ImageEntry {
  readonly name: string;
  readonly registry: FieldEntry | undefined;
  readonly repository: FieldEntry;
  readonly tag: FieldEntry | undefined;
  /** A value that is set to the empty string, such as a digest. */
  readonly remove: { readonly path: readonly string[]; readonly subchart: string | undefined } | undefined;
  readonly origin: Origin;
}

/** One chart that is wanted, after both data files were merged. */
export interface ChartEntry {
  readonly key: string;
  readonly name: string;
  /** As written: `https://…`, `http://…` or `oci://…`. */
  readonly repository: string;
  /** Exact version or semver range. */
  readonly version: string;
  readonly images: readonly ImageEntry[];
  readonly subcharts: readonly string[];
  /** The user's own values for the chart: for rendering, and part of the result. */
  readonly values: JsonMap;
  /** Named sets of values under which the chart is also used. */
  readonly profiles: ReadonlyMap<string, JsonMap>;
  /** os/architecture[/variant]; `undefined` when the data files say nothing. */
  readonly platforms: readonly string[] | undefined;
  /** Further API versions of the cluster, for rendering. */
  readonly apiVersions: readonly string[];
  /** Whether images that a condition hides are copied too. */
  readonly conditionalImages: 'copy' | undefined;
  readonly origin: Origin;
}

/** Everything that the two data files say. */
export interface DataFileSet {
  readonly eksVersion: string;
  /** `default.yaml`, then the version's file. */
  readonly files: readonly UsedFile[];
  /** Version of the node AMI; empty when the version file names none. */
  readonly amiVersion: string;
  /** In the order of default.yaml; charts that only the version file has come last. Skipped ones are left out. */
  readonly charts: ReadonlyMap<string, ChartEntry>;
  readonly additionalImages: ReadonlyMap<string, { readonly reference: string; readonly origin: Origin }>;
  /** Host, or `default` for references without a host, to `host[:port][/path]`. */
  readonly dockerMappings: ReadonlyMap<string, string>;
  /** Platforms for images that belong to no chart; `undefined` when the data files say nothing. */
  readonly platforms: readonly string[] | undefined;
  readonly apiVersions: readonly string[];
  /** Hosts (with port) that the user's own files name, as chart repository or as target of a mapping. */
  readonly userHosts: ReadonlySet<string>;
}
