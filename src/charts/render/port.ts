import type { Refusal } from './refusal.ts';

/** A chart, and what it is rendered with. */
export interface RenderRequest {
  /** Path of a chart folder or archive, or the archive itself. */
  readonly chart: string | Uint8Array;
  /** Values merged over the chart's own, later ones win. They reach helm in private files, never as arguments. */
  readonly values?: readonly Readonly<Record<string, unknown>>[];
  /** Kubernetes version to render for: `1.34` or `1.34.0`. Always given: a helm built from its module thinks of 1.20. */
  readonly kubeVersion: string;
  /** Further API versions that templates may ask for (`.Capabilities.APIVersions`). */
  readonly apiVersions?: readonly string[];
  /** Default `release`. */
  readonly releaseName?: string;
  /** Default `image-replication`: some charts refuse `default` (nvidia-device-plugin 0.17, templates/validation.yml). */
  readonly namespace?: string;
  /** Render what `helm upgrade` would install, not `helm install`: `.Release.IsUpgrade` is true, and `.Release.IsInstall` is not. */
  readonly isUpgrade?: boolean;
  readonly signal: AbortSignal;
}

/** How much one run of helm may take. */
export interface RenderLimits {
  /** Default 60 s. */
  readonly timeoutMs?: number;
  /** Default 64 MiB. */
  readonly maxOutputBytes?: number;
  /** Resident memory of helm, watched where /proc tells it. Default 1.5 GiB. */
  readonly maxMemoryBytes?: number;
}

/** What came of a render: what the chart or helm refuses is no error, but an answer. */
export type RenderOutcome =
  | {
      readonly kind: 'rendered';
      /**
       * What the templates rendered, hooks and tests included, as one YAML stream with `# Source:` comments. From a `Renderer`:
       * what is installed, and behind it what an upgrade has (split.ts tells them apart), for charts that ask which it is.
       */
      readonly text: string;
      /** The files of `crds/` folders, in the same form. helm installs them as they are: no value changes them. */
      readonly crds: string;
      /** What helm warned of on the way, and what was done about a schema that needs the network. */
      readonly warnings: readonly string[];
      /** Why helm does not render the chart for an upgrade, though it does for an install: then the text has only that. */
      readonly upgradeRefusal?: Refusal;
      /** Of helm, all its runs together. */
      readonly seconds: number;
      /** Runs of helm, where it took more than one. */
      readonly renders?: number;
    }
  | {
      readonly kind: 'refused';
      readonly refusal: Refusal;
      readonly seconds: number;
      readonly renders?: number;
    };

/** What renders charts, for all that need it in a run. */
export interface Renderer {
  /**
   * As `renderChart`, and for an upgrade too where the chart asks whether it is one (`.Release.IsUpgrade`, `.Release.IsInstall`):
   * both are used in a cluster, so an outcome has the documents of both.
   */
  render(request: RenderRequest): Promise<RenderOutcome>;
}
