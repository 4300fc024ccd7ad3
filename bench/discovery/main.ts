import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import { type Helm, helmVersion } from '../../src/charts/helm.ts';
import { ReplicationError } from '../../src/model/errors.ts';
import { benchCommand, type BenchStreams, positiveInteger } from '../command-line.ts';
import { describeMachine } from '../measure/machine.ts';
import { leaveFigures } from '../report/figures.ts';
import { findProgram } from '../tools.ts';
import { findCharts } from './charts.ts';
import { measureDiscovery } from './measure.ts';
import { type DiscoveryReport, renderDiscovery } from './report.ts';

interface Options {
  readonly charts?: string;
  readonly values?: string;
  readonly kubeVersion: string;
  readonly concurrency: number;
  readonly json?: string;
  readonly markdown?: string;
}

/**
 * `bench discovery`: what it costs to find the images of charts and the values that move them.
 * @param argv arguments behind `discovery`
 * @returns exit status: 0, or 1 when none of the charts could be rendered
 */
export async function discovery(
  argv: readonly string[],
  streams: BenchStreams,
  interrupt: AbortSignal,
): Promise<number> {
  const { stdout, stderr } = streams;
  const options = program(streams)
    .parse([...argv], { from: 'user' })
    .opts<Options>();
  const helm = await findHelm(interrupt);
  const charts = await findCharts(options.charts, options.values);
  stderr.write(`${charts.length} charts, helm ${helm.version}\n`);
  const startedAt = new Date().toISOString();
  const { kubeVersion, concurrency } = options;
  const report: DiscoveryReport = {
    kind: 'image-replication/bench-discovery',
    version: 1,
    startedAt,
    machine: describeMachine(),
    helm: helm.version,
    kubeVersion,
    ...(await measureDiscovery({ helm, charts, kubeVersion, concurrency, signal: interrupt })),
  };
  await leaveFigures(report, renderDiscovery, stdout, options);
  return report.charts.every(({ refused }) => refused !== undefined) ? 1 : 0;
}

function program(streams: BenchStreams): Command {
  return benchCommand('bench discovery', streams)
    .description('Finds the images of charts and the values that move them, and says what that costs.')
    .option('--charts <dir>', 'folder with packaged charts (.tgz), also in folders in it (default: the sample charts)')
    .option('--values <dir>', 'folder with <chart>.yaml for charts that do not render without values')
    .option('--kube-version <version>', 'Kubernetes version that charts are rendered for', '1.34')
    .addOption(
      new Option('--concurrency <n>', 'renders at a time')
        .default(availableParallelism(), 'cores')
        .argParser(positiveInteger),
    )
    .option('--json <file>', 'write the figures to a file')
    .option('--markdown <file>', 'write the table to a file');
}

/** The newest helm that scripts/setup.sh has fetched, else what PATH has. */
async function findHelm(signal: AbortSignal): Promise<Helm> {
  const path = ['helm4', 'helm3', 'helm'].map(findProgram).find((each) => each !== undefined);
  if (path === undefined)
    throw new ReplicationError('usage', 'there is no helm in .tools/bin nor on PATH', { remedy: 'npm run setup' });
  return { path, version: await helmVersion(path, signal) };
}
