import { join } from 'node:path';
import type { IsolatedChart } from '../charts/isolation/port.ts';
import type { ImageRename, Reach, Remedy } from '../charts/remedies/port.ts';
import type { PlannedChart } from '../model/plan.ts';
import { fileNames } from '../publish/consumers/names.ts';
import type { ReportRemedy } from '../report/report-data.ts';
import type { EksPlan } from '../sources/eks/plan.ts';

/** What can be done about references that no value moves, in the forms in which a run tells it. */
export interface LeftRemedies {
  /** Content by path below the run's folder: `remedies/<chart>/kyverno.yaml`, `patches/<chart>.patch`. */
  readonly files: Readonly<Record<string, string>>;
  /** What a reader opens: the charts' folders, and patches. Below the run's folder. */
  readonly entries: readonly string[];
  readonly report: readonly ReportRemedy[];
  /** What Flux's own kustomize renames, by the chart's key. */
  readonly renames: ReadonlyMap<string, readonly ImageRename[]>;
  /** What reaches a reference of a chart, for messages. */
  readonly offersFor: (key: string, reference: string) => readonly string[];
}

export const noRemedies: LeftRemedies = {
  files: {},
  entries: [],
  report: [],
  renames: new Map(),
  offersFor: () => [],
};

/** @param out absolute path of the run's folder */
export function leftRemedies(out: string, { plan, isolated }: Pick<EksPlan, 'plan' | 'isolated'>): LeftRemedies {
  const files: Record<string, string> = {};
  const entries: string[] = [];
  const report: ReportRemedy[] = [];
  const renames = new Map<string, readonly ImageRename[]>();
  for (const [chart, name] of fileNames(plan.charts)) {
    const { patched, remedies } = isolated.get(chart.key) ?? {};
    if (patched !== undefined) {
      files[`patches/${name}.patch`] = patched.patch;
      entries.push(`patches/${name}.patch`);
    }
    if (remedies === undefined || remedies.offered.length === 0) continue;
    const folder = `remedies/${name}`;
    entries.push(folder);
    files[`${folder}/README.md`] = readmeOf(chart, remedies);
    for (const remedy of remedies.offered) {
      for (const [path, content] of Object.entries(remedy.files)) files[`${folder}/${path}`] = content;
      report.push(...reportOf(chart.key, remedy, join(out, folder)));
      if (remedy.images.length > 0) renames.set(chart.key, remedy.images);
    }
  }
  return { files, entries, report, renames, offersFor: offersOf(report) };
}

const titles: Readonly<Record<Remedy['kind'], string>> = {
  kustomize: 'kustomize as a post-renderer of helm',
  kyverno: 'a Kyverno policy that changes images when pods are created',
};

const mainFiles: Readonly<Record<Remedy['kind'], string>> = {
  kustomize: 'post-render/kustomization.yaml',
  kyverno: 'kyverno.yaml',
};

/** One entry for what the remedy reaches wherever it stands, and one for each reference of which it leaves a place. */
function reportOf(chart: string, remedy: Remedy, folder: string): readonly ReportRemedy[] {
  const file = join(folder, mainFiles[remedy.kind]);
  const title = titles[remedy.kind];
  const whole = remedy.reaches.filter(({ reached }) => reached === 'all').map(({ text }) => text);
  const parts = remedy.reaches.filter(({ reached }) => reached === 'some');
  return [
    ...(whole.length === 0 ? [] : [{ chart, text: title, file, reaches: whole }]),
    ...parts.map(({ text, why }) => ({
      chart,
      text: `${title}, but not everywhere (${why ?? ''})`,
      file,
      reaches: [text],
    })),
  ];
}

function offersOf(report: readonly ReportRemedy[]): LeftRemedies['offersFor'] {
  return (key, reference) =>
    report
      .filter(({ chart, reaches }) => chart === key && reaches.includes(reference))
      .map(({ text, file }) => (file === undefined ? text : `${text}: ${file}`));
}

function readmeOf({ key, name, version }: PlannedChart, remedies: NonNullable<IsolatedChart['remedies']>): string {
  const offered = remedies.offered.map(
    ({ kind, reaches, usage }) =>
      `## ${titles[kind]}\n\n${list([...usage])}\nTried on the render, it reaches:\n\n${list(reaches.map(reachText))}`,
  );
  const others = remedies.notOffered.map(({ kind, why }) => `${kind} is not offered: ${why}`);
  const intro = `Images of ${name} ${version} (\`${key}\`) that no value of the chart moves, and what re-points them in a cluster. One of these is enough.`;
  return [`# ${name} ${version}\n\n${intro}\n`, ...offered, ...(others.length === 0 ? [] : [list(others)])].join('\n');
}

function reachText({ text, target, reached, why }: Reach): string {
  const how = { all: `becomes \`${target}\``, some: `becomes \`${target}\` in some places`, none: 'not reached' }[
    reached
  ];
  return `\`${text}\`: ${how}${why === undefined ? '' : ` (${why})`}`;
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `- ${line.replaceAll(/\s+/g, ' ')}\n`).join('');
}
