import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dataFileHash, loadDataFiles } from './data-files.ts';

const directory = join(import.meta.dirname, '../../../data/eks_dockerimage-replication/versions');
const versions = ['1.30', '1.31', '1.32', '1.33', '1.34'];

/** The keys that the EKS module looks up (awslabs/idf-modules, modules/compute/eks/stack.py). */
const chartKeys = [
  'alb_controller',
  'aws_vpc_cni',
  'calico',
  'cert_manager',
  'cluster_autoscaler',
  'ebs_csi_driver',
  'efs_csi_driver',
  'external_dns',
  'external_secrets',
  'fluentbit',
  'fsx_driver',
  'grafana',
  'kured',
  'kyverno',
  'kyverno_policy_reporter',
  'metrics_server',
  'nginx_controller',
  'nvidia_device_plugin',
  'prometheus_stack',
  'secrets_manager_csi_driver',
];

describe('the data files that come with the module', () => {
  it('are the ones that SHIPPED.json knows (after a change: npx vitest run --project unit src/sources/eks/shipped.test.ts -u)', async () => {
    const names = (await readdir(directory)).filter((name) => name.endsWith('.yaml')).sort();
    const hashes = await Promise.all(
      names.map(async (name) => [name, dataFileHash(await readFile(join(directory, name), 'utf8'))] as const),
    );
    const manifest = `${JSON.stringify(Object.fromEntries(hashes), undefined, 2)}\n`;
    await expect(manifest).toMatchFileSnapshot(join(directory, 'SHIPPED.json'));
  });

  it.each(versions)('for EKS %s have every chart and image that the EKS module looks up', async (eksVersion) => {
    const set = await loadDataFiles({ directories: { shippedDirectory: directory }, eksVersion });
    expect([...set.charts.keys()]).toEqual(chartKeys);
    expect([...set.additionalImages.keys()]).toEqual(['cloudwatch_agent', 'secrets_store_csi_driver_provider_aws']);
    expect(set.amiVersion.startsWith(`${eksVersion}.`)).toBe(true);
    expect(set.files.map(({ from }) => from)).toEqual(['shipped', 'shipped']);
    expect(set.userHosts).toEqual(new Set());
    for (const chart of set.charts.values()) expect(chart.images, chart.key).not.toHaveLength(0);
  });
});
