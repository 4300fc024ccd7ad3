/** What planning needs to know of a chart. The charts room's own type fits it. */
export interface ChartContent {
  readonly name: string;
  /** Exact version, as the repository writes it. */
  readonly version: string;
  /** Chart.yaml. */
  readonly metadata: { readonly appVersion?: unknown };
  /** values.yaml. */
  readonly values: unknown;
  /** values.yaml as text, for numbers that lose zeros when parsed (`1.10`). */
  readonly valuesText?: string | undefined;
  /** By the key that sets their values: the alias where the dependency has one, else the name. */
  readonly subcharts: ReadonlyMap<string, ChartContent>;
}
