import type { CommandLine } from '../command-line.ts';
import type { ChartCommand } from '../chart-settings.ts';

/** Options of `image-replication chart`; its code is loaded when it runs. */
export function declareChart({ job, start }: CommandLine): void {
  job(
    'chart',
    'copy the images of an application chart, and leave a values file that names them there',
    'npx image-replication chart -c ./charts/shop -f values.yaml -p my-company/shop --plan',
  )
    .option(
      '-c, --chart <chart>',
      'chart: folder, .tgz, repo/chart, https://repository/chart or oci://registry/path/chart; "" for the static list (default: runwhen-contrib/runwhen-local)',
    )
    .option('--repo <url>', 'repository of the chart, where --chart is its name only')
    .option('--chart-version <version>', 'version or range of the chart (default: the newest)')
    .option(
      '-f, --values <file...>',
      'values file for rendering; the first one is the frame of the updated values file',
    )
    .option(
      '-e, --extra-images <file>',
      'file with a line `image [destination] [helm-key]` per further image, # for comments',
    )
    .option('-p, --prefix <prefix>', 'what every repository begins with (default: test-rwl-runwhen)')
    .option('--registry <host>', 'registry to copy to (default: the private ECR of account and region)')
    .option('--target <target>', 'instead of --registry: oci-layout:DIR or host[/prefix]')
    .option('--region <region>', 'AWS region (default: AWS_REGION, else us-west-2)')
    .option(
      '--date-tags',
      'tag everything with the time of this run, YYYYMMDDHHMMSS in UTC (default: tags of the source)',
    )
    .option('--latest', 'take the most recent tag of every image instead of the one that the chart names')
    .option('--arch <arch>', 'one architecture only, such as amd64 (default: all)')
    .option('--platforms <list>', 'platforms to copy, such as linux/amd64,linux/arm64 (default: all)')
    .option('-b, --branch <branch>', 'branch of the code collections (default: main)')
    .option(
      '--code-collections <place>',
      'codecollections.yaml: address with {branch} in it, file or checkout (default: runwhen-contrib/codecollection-registry on GitHub)',
    )
    .option('--no-code-collections', 'leave the code collections out')
    .option(
      '--code-collection-registry <prefix>',
      'where their images are (default: us-west1-docker.pkg.dev/runwhen-nonprod-beta/public-images)',
    )
    .option(
      '--static-images <file>',
      'list to copy where there is no chart (default: shipped in data/application-chart)',
    )
    .option('--static-code-collections <file>', 'the same for code collections')
    .option('--allow-fallback', 'be content with a static list where a chart or the code collections cannot be read')
    .option('--kube-version <version>', 'Kubernetes version to render for (default: 1.34)')
    .option('--api-versions <list>', 'further API versions of the cluster, for rendering')
    .option('--uncontrolled <what>', 'warn or fail when no value of the chart moves an image (default: warn)')
    .option('--updated-values <file>', 'name of the updated values file (default: updated_values.yaml in --out)')
    .option('--keep-rendered', 'leave rendered_chart.yaml and helm_chart_images.txt, too')
    .option('--lock <file>', 'replicate exactly what this lock says, by digest, instead of a chart and lists')
    .option('--plan', 'say what would be copied and write plan and values file, copy nothing')
    .option('-v, --verbose', 'tell each tag, each name and each value')
    .action(async (options: ChartCommand) => {
      const { runChart } = await import('./chart.ts');
      await start('chart', options, (session) => runChart(session, options));
    });
}
