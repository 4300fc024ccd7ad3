import type { ChartIsolation } from '../model/isolation.ts';
import type { Origin, Plan, PlannedChart, PlannedImage } from '../model/plan.ts';
import { locate, parseReference } from '../model/reference.ts';
import type { Outcome } from '../model/result.ts';
import type { ReportArtifact } from './report-data.ts';

/** Planned artifacts with what became of them, then what was done beside the plan. */
export function reportArtifacts(
  plan: Plan | undefined,
  outcomes: readonly Outcome[],
  charts: readonly ChartIsolation[],
): readonly ReportArtifact[] {
  const left = [...outcomes];
  const users = chartsByName(charts);
  const keys = (plan?.charts ?? []).map(({ key }) => key);
  const images = (plan?.images ?? []).map((image) =>
    ofImage(image, take(left, image.source, image.targets), users, keys),
  );
  const planned = (plan?.charts ?? []).map((chart) =>
    ofChart(chart, take(left, `chart ${chart.name} ${chart.version}`, [chart.target])),
  );
  return [...images, ...planned, ...left.map((outcome) => unplanned(outcome, users))].sort(failedFirst);
}

function failedFirst(a: ReportArtifact, b: ReportArtifact): number {
  return Number(b.outcome === 'failed') - Number(a.outcome === 'failed');
}

/** Takes the outcome of a planned artifact: one artifact may have several, under different names at the target. */
function take(outcomes: Outcome[], artifact: string, targets: readonly string[]): Outcome | undefined {
  const same = outcomes.filter((each) => each.artifact === artifact);
  const found = same.find((each) => each.targets.some((target) => targets.includes(target))) ?? same[0];
  if (found !== undefined) outcomes.splice(outcomes.indexOf(found), 1);
  return found;
}

type Users = ReadonlyMap<string, ReadonlySet<string>>;

/** Keys of the charts that name a reference, before or after it is re-pointed. */
function chartsByName(charts: readonly ChartIsolation[]): Users {
  const users = new Map<string, Set<string>>();
  for (const { key, references } of charts) {
    for (const name of references.flatMap((each) => [each.reference, each.target ?? each.reference])) {
      const known = users.get(name);
      if (known === undefined) users.set(name, new Set([key]));
      else known.add(key);
    }
  }
  return users;
}

function ofImage(
  image: PlannedImage,
  outcome: Outcome | undefined,
  users: Users,
  keys: readonly string[],
): ReportArtifact {
  const asked = keys.filter((key) => image.origins.some(({ path }) => path.startsWith(`charts.${key}.`)));
  return {
    kind: 'image',
    artifact: image.source,
    source: image.source,
    host: hostOfReference(image.source),
    targets: image.targets,
    platforms: image.platforms,
    charts: usersOf(users, [image.source, ...image.targets], asked),
    origins: image.origins.map(originText),
    ...became(outcome),
    digest: digestAfter(outcome) ?? image.digest,
  };
}

function ofChart(chart: PlannedChart, outcome: Outcome | undefined): ReportArtifact {
  return {
    kind: 'chart',
    artifact: `chart ${chart.name} ${chart.version}`,
    source: chart.repository,
    host: hostOfAddress(chart.repository),
    targets: [chart.target],
    platforms: 'all',
    charts: [chart.key],
    origins: chart.origins.map(originText),
    ...became(outcome),
    digest: digestAfter(outcome),
  };
}

/** Jobs without a plan name their artifacts by source. */
function unplanned(outcome: Outcome, users: Users): ReportArtifact {
  const { artifact, targets } = outcome;
  const chart = artifact.startsWith('chart ');
  return {
    kind: chart ? 'chart' : 'image',
    artifact,
    source: artifact,
    host: chart ? '' : hostOfReference(artifact),
    targets: [...targets],
    platforms: 'all',
    charts: usersOf(users, [artifact, ...targets], []),
    origins: [],
    ...became(outcome),
    digest: digestAfter(outcome),
  };
}

function usersOf(users: Users, names: readonly string[], more: readonly string[]): string[] {
  return [...new Set([...names.flatMap((name) => [...(users.get(name) ?? [])]), ...more])].sort();
}

function became(outcome: Outcome | undefined): Pick<ReportArtifact, 'outcome' | 'bytesSent' | 'seconds' | 'failures'> {
  if (outcome === undefined) return { outcome: 'open', failures: [] };
  if (outcome.kind === 'failed') return { outcome: 'failed', failures: [...outcome.failures] };
  if (outcome.kind === 'unchanged') return { outcome: 'unchanged', failures: [] };
  return { outcome: 'copied', bytesSent: outcome.bytes, seconds: outcome.seconds, failures: [] };
}

function digestAfter(outcome: Outcome | undefined): string | undefined {
  return outcome === undefined || outcome.kind === 'failed' ? undefined : outcome.digest;
}

function originText({ file, line, path }: Origin): string {
  const place = [file, line].filter((part) => part !== undefined).join(':');
  // A line of a list has no path in it.
  return place === path || place === '' ? path : `${place}:${path}`;
}

/** The registry that a reference leads to; what is no reference is told by its first segment. */
export function hostOfReference(text: string): string {
  try {
    return locate(parseReference(text)).registry;
  } catch {
    return text.split('/', 1)[0] ?? text;
  }
}

function hostOfAddress(address: string): string {
  return URL.canParse(address) ? new URL(address).host : address;
}
