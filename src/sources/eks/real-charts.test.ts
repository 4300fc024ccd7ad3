import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type Chart, readChart } from '../../charts/chart.ts';
import { loadDataFiles } from './data-files.ts';
import type { ChartEntry } from './entries.ts';
import { type EksPlan, planEks } from './plan.ts';

// The real charts that the data files name are not part of the project: a folder of them stands beside its checkout on
// the developers' machines (packages in repos/<repository>/, rendered references in refs/). Elsewhere this is skipped.
const root = join(import.meta.dirname, '../../..');
const folder = process.env['REAL_CHARTS'] ?? join(root, '../shared/charts');
const there = existsSync(join(folder, 'repos'));
if (!there) console.warn(`SKIPPED: data files against real charts: there is no ${folder} (REAL_CHARTS names another)`);

const shippedDirectory = join(root, 'data/eks_dockerimage-replication/versions');
const prefix = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-';

/** Rendered by a chart, and by decision not copied under this name. */
const replaced = new Map([['bitnami/kubectl:1.32.3', 'bitnamilegacy/kubectl:1.32.3']]);
/** Rendered by a chart, and set by no value. */
const hardCoded = new Set(['gcr.io/k8s-staging-test-infra/kubekins-e2e:v20220624-1a63fdd9f2-master']);

const packages = new Map<string, Promise<Chart>>();

/** The chart, unpacked once for all versions of EKS. */
function chartOf({ name, version }: ChartEntry): Promise<Chart> {
  const known = packages.get(`${name}-${version}`) ?? findPackage(`${name}-${version}.tgz`);
  packages.set(`${name}-${version}`, known);
  return known;
}

async function findPackage(file: string): Promise<Chart> {
  for (const repository of await readdir(join(folder, 'repos'))) {
    const path = join(folder, 'repos', repository, file);
    if (existsSync(path)) return readChart(await readFile(path));
  }
  throw new Error(`${file} is not in ${folder}`);
}

async function planFor(eksVersion: string): Promise<EksPlan> {
  const files = await loadDataFiles({ directories: { shippedDirectory }, eksVersion });
  return planEks(files, { prefix, readChart: chartOf, platforms: 'all', signal: new AbortController().signal });
}

const Refs = z.looseObject({ refs: z.array(z.looseObject({ ref: z.string(), partial: z.boolean().optional() })) });

/** The references that the chart renders, without digest: the data files remove digests. */
async function renderedReferences(entry: {
  readonly name: string;
  readonly version: string;
}): Promise<readonly string[]> {
  const names = (await readdir(join(folder, 'refs'))).filter((name) =>
    name.endsWith(`__${entry.name}-${entry.version}.json`),
  );
  expect(names, `${entry.name} ${entry.version}`).toHaveLength(1);
  const { refs } = Refs.parse(JSON.parse(await readFile(join(folder, 'refs', names[0] ?? ''), 'utf8')));
  return refs.filter(({ partial }) => partial !== true).map(({ ref }) => ref.replace(/@sha256:.*$/, ''));
}

describe.runIf(there)('the data files that come with the module, with the real charts', () => {
  it.each(['1.30', '1.31', '1.32', '1.33', '1.34'])(
    'for EKS %s name only values that exist, and every image that the charts render',
    async (eksVersion) => {
      const { plan, result, problems, notices } = await planFor(eksVersion);
      expect(problems.map(({ message }) => message)).toEqual([]);
      expect(notices).toEqual([]);
      const targets = new Set(plan.images.flatMap((image) => image.targets));
      const uncovered: string[] = [];
      for (const [key, { helm }] of Object.entries(result.charts)) {
        for (const reference of await renderedReferences(helm)) {
          const wanted = `${prefix}${replaced.get(reference) ?? reference}`;
          if (!targets.has(wanted)) uncovered.push(`${key}: ${reference}`);
        }
      }
      const missing = uncovered.filter((each) => !hardCoded.has(each.replace(/^\w+: /, '')));
      if (missing.length > 0) console.warn(`not covered for EKS ${eksVersion}:\n  ${missing.join('\n  ')}`);
      expect(missing).toEqual([]);
    },
  );
});
