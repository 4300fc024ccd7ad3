import type { PlannedChart } from '../../model/plan.ts';
import { jsonText } from '../files.ts';
import { argoApplication } from './argo-cd.ts';
import { fluxRelease, type ImageRename } from './flux.ts';
import { chartAddress, fileNames } from './names.ts';
import { commented, yamlText } from './yaml-text.ts';

export interface ConsumerOptions {
  /** By the chart's key: images that no value moves and kustomize does; Flux carries these in the HelmRelease. */
  readonly renames?: ReadonlyMap<string, readonly ImageRename[]>;
}

/**
 * The override sets in the forms that others take: per chart a values file for helm's `-f`, an Argo CD Application, a Flux
 * HelmRelease, and the configuration values of an EKS add-on.
 * @returns content by path below the folder for consumers, the same for the same charts; sorted by path
 */
export function consumerFiles(
  charts: readonly PlannedChart[],
  options: ConsumerOptions = {},
): Readonly<Record<string, string>> {
  const files: [string, string][] = [];
  for (const [chart, name] of fileNames(charts)) {
    files.push(
      [`values/${name}.yaml`, valuesFile(chart, `values/${name}.yaml`)],
      [`argocd/${name}.yaml`, argoApplication(chart)],
      [`flux/${name}.yaml`, fluxRelease(chart, options.renames?.get(chart.key))],
      [`eks-addons/${name}.json`, addonConfiguration(chart)],
    );
  }
  return Object.fromEntries(files.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A values file for `helm install -f`, with the command above. */
export function valuesFile(chart: PlannedChart, path: string): string {
  const { repository } = chartAddress(chart);
  const comment = [
    `${chart.name} ${chart.version}: values that point its images at the private registry.`,
    `helm upgrade --install RELEASE oci://${repository} --version ${chart.version} -f ${path} -f YOUR-VALUES.yaml`,
  ];
  return `${commented(comment)}${yamlText(chart.values)}`;
}

/**
 * For `aws eks create-addon --configuration-values file://…`. Which of these keys an add-on takes is said by
 * `aws eks describe-addon-configuration` (https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAddon.html).
 */
function addonConfiguration(chart: PlannedChart): string {
  return jsonText(chart.values);
}
