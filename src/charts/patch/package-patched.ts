import type { Digest } from '../../model/digest.ts';
import { chartYamlPath, type ChartTree, packChart } from './chart-tree.ts';
import { rewriteChartYaml } from './chart-yaml.ts';
import { isolatedVersion, patchId } from './version.ts';

/** Annotations of a patched chart, in its Chart.yaml and so on its OCI manifest. */
export const patchAnnotations = {
  originalDigest: 'image-replication/original-digest',
  originalVersion: 'image-replication/original-version',
  patch: 'image-replication/patch',
} as const;

export interface ChangedChart {
  readonly tree: ChartTree;
  readonly texts: ReadonlyMap<string, string>;
  /** Texts that are other ones now, by path. */
  readonly changes: ReadonlyMap<string, string>;
  /** The change as a diff, which names the version and is kept in the chart. */
  readonly patch: string;
  readonly original: { readonly version: string; readonly digest: Digest };
}

/**
 * Packs a changed chart under its new version and with its annotations. The same change gives the same bytes.
 * @throws ReplicationError `unsupported` as `rewriteChartYaml`
 */
export function packPatched({ tree, texts, changes, patch, original }: ChangedChart): {
  readonly version: string;
  readonly archive: Buffer;
} {
  const version = isolatedVersion(original.version, patchId(patch));
  const path = chartYamlPath(tree) ?? '';
  const chartYaml = rewriteChartYaml(texts.get(path) ?? '', version, {
    [patchAnnotations.originalDigest]: original.digest,
    [patchAnnotations.originalVersion]: original.version,
    [patchAnnotations.patch]: patch,
  });
  return { version, archive: packChart(tree, new Map([...changes, [path, chartYaml]])) };
}
