import { parseEcrHost } from '../../aws/ecr-hosts.ts';
import { mediaTypes } from '../../model/media-types.ts';
import type { PlannedChart } from '../../model/plan.ts';
import { chartAddress, objectName } from './names.ts';
import { commented, yamlText } from './yaml-text.ts';

/** An entry of kustomize's `images` (https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/). */
export interface ImageRename {
  readonly name: string;
  readonly newName?: string;
  readonly newTag?: string;
  readonly digest?: string;
}

/**
 * A Flux OCIRepository and the HelmRelease that installs the chart from it with its overrides
 * (https://fluxcd.io/flux/components/source/ocirepositories/, https://fluxcd.io/flux/components/helm/helmreleases/).
 * @param renames what no value moves and Flux's kustomize post-renderer does
 */
export function fluxRelease(chart: PlannedChart, renames: readonly ImageRename[] = []): string {
  const name = objectName(chart.key);
  const comment = [
    `${chart.name} ${chart.version}: a Flux HelmRelease with the values that point its images at the private registry.`,
    'Set namespaces and intervals as you use them, and merge your own values into spec.values.',
  ];
  return `${commented(comment)}${yamlText(ociRepository(chart, name))}---\n${yamlText(helmRelease(chart, name, renames))}`;
}

function ociRepository(chart: PlannedChart, name: string): unknown {
  const { repository, tag } = chartAddress(chart);
  const host = repository.slice(0, repository.indexOf('/'));
  return {
    apiVersion: 'source.toolkit.fluxcd.io/v1',
    kind: 'OCIRepository',
    metadata: { name, namespace: 'flux-system' },
    spec: {
      interval: '10m',
      url: `oci://${repository}`,
      ref: { tag },
      // Charts are kept as the package that they are, not unpacked.
      layerSelector: { mediaType: mediaTypes.helmChart, operation: 'copy' },
      ...(parseEcrHost(host) === undefined ? {} : { provider: 'aws' }),
    },
  };
}

function helmRelease(chart: PlannedChart, name: string, renames: readonly ImageRename[]): unknown {
  return {
    apiVersion: 'helm.toolkit.fluxcd.io/v2',
    kind: 'HelmRelease',
    metadata: { name, namespace: 'flux-system' },
    spec: {
      interval: '10m',
      releaseName: name,
      targetNamespace: name,
      install: { createNamespace: true },
      chartRef: { kind: 'OCIRepository', name },
      values: chart.values,
      ...(renames.length === 0 ? {} : { postRenderers: [{ kustomize: { images: renames } }] }),
    },
  };
}
