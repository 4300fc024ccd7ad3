import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import { type ChartServer, startChartServer } from '../../src/testing/chart-server.ts';
import { root } from '../tools.ts';

/** Real charts are not part of the project: a folder of them stands beside its checkout on the developers' machines. */
export const realCharts = process.env['REAL_CHARTS'] ?? join(root, '../shared/charts');
export const haveRealCharts = existsSync(join(realCharts, 'repos'));

const Defaults = z.looseObject({
  charts: z.record(z.string(), z.looseObject({ name: z.string(), repository: z.string() })),
});

/** Serves the real charts under the very URLs that the shipped data files name. By repository URL without trailing slash. */
export async function startRealChartServers(): Promise<Map<string, ChartServer>> {
  const file = join(root, 'data/eks_dockerimage-replication/versions/default.yaml');
  const { charts } = Defaults.parse(parse(readFileSync(file, 'utf8')));
  const servers = new Map<string, ChartServer>();
  for (const { name, repository } of Object.values(charts)) {
    const url = repository.replace(/\/$/, '');
    if (servers.has(url)) continue;
    const path = new URL(url).pathname.replace(/\/$/, '');
    servers.set(url, await startChartServer({ directory: folderOf(name), path }));
  }
  return servers;
}

/** The folder that has packages of this chart. */
function folderOf(name: string): string {
  const repositories = join(realCharts, 'repos');
  const version = new RegExp(`^${name}-v?\\d.*\\.tgz$`);
  const found = readdirSync(repositories).find((each) =>
    readdirSync(join(repositories, each)).some((file) => version.test(file)),
  );
  if (found === undefined) throw new Error(`${repositories} has no chart ${name}`);
  return join(repositories, found);
}

/** Values without which a real chart does not render, or renders less; a file, where there is one. */
export function neededValues(name: string): string | undefined {
  const file = join(realCharts, 'values', `${name}.yaml`);
  return existsSync(file) ? file : undefined;
}
