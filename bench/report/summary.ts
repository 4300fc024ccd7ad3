import type { CorpusName } from '../corpus/plan.ts';
import { medianOf, type Spread, spreadOf } from '../measure/statistics.ts';
import { totalRequests } from '../relay/counters.ts';
import type { ProfileName } from '../relay/profile.ts';
import type { Run, ScenarioName } from '../run.ts';
import type { ToolName } from '../tools.ts';

/** All runs of one tool in one case. Figures are medians over the runs that count: complete, and not refused. */
export interface ToolSummary {
  readonly tool: ToolName;
  readonly title: string;
  readonly runs: number;
  readonly complete: number;
  readonly refused: number;
  /** `undefined` when no run counts. */
  readonly seconds: Spread | undefined;
  /** Of the median, to that of the quickest peer. */
  readonly ratio: number | undefined;
  readonly cpuSeconds: number | undefined;
  readonly peakRssBytes: number | undefined;
  readonly sourceBytes: number | undefined;
  readonly targetBytes: number | undefined;
  readonly sourceRequests: number | undefined;
  readonly targetRequests: number | undefined;
  /** Answers 429 at the target, in all runs that were not refused: also those that failed by them. */
  readonly throttled: number | undefined;
}

export interface CaseSummary {
  readonly corpus: CorpusName;
  readonly profile: ProfileName;
  readonly scenario: ScenarioName;
  /** Quickest first; those without a figure last. */
  readonly tools: readonly ToolSummary[];
}

/** Sums runs up, case by case, in the order in which they came. */
export function summarize(runs: readonly Run[]): readonly CaseSummary[] {
  const cases = groupBy(runs, ({ corpus, profile, scenario }) => `${corpus} ${profile} ${scenario}`);
  return cases.map((group) => {
    const [{ corpus, profile, scenario }] = group;
    const tools = groupBy(group, ({ tool }) => tool).map(summarizeTool);
    return { corpus, profile, scenario, tools: withRatios(tools).sort(bySeconds) };
  });
}

type Group = readonly [Run, ...Run[]];

function groupBy(runs: readonly Run[], keyOf: (run: Run) => string): readonly Group[] {
  const groups = new Map<string, [Run, ...Run[]]>();
  for (const run of runs) {
    const known = groups.get(keyOf(run));
    if (known === undefined) groups.set(keyOf(run), [run]);
    else known.push(run);
  }
  return [...groups.values()];
}

function summarizeTool(runs: Group): ToolSummary {
  const accepted = runs.filter(({ refused }) => refused === undefined);
  const counting = accepted.filter(({ complete }) => complete);
  const median = (figure: (run: Run) => number | undefined): number | undefined => medianOf(counting.map(figure));
  return {
    tool: runs[0].tool,
    title: runs[0].title,
    runs: runs.length,
    complete: runs.filter(({ complete }) => complete).length,
    refused: runs.length - accepted.length,
    seconds: spreadOf(counting.map(({ seconds }) => seconds)),
    ratio: undefined,
    cpuSeconds: median(({ cpuSeconds }) => cpuSeconds),
    peakRssBytes: median(({ peakRssBytes }) => peakRssBytes),
    sourceBytes: median(({ source }) => source.bytesToClient),
    targetBytes: median(({ target }) => target.bytesToServer),
    sourceRequests: median(({ source }) => totalRequests(source)),
    targetRequests: median(({ target }) => totalRequests(target)),
    throttled: medianOf(accepted.map(({ target }) => target.statuses['429'] ?? 0)),
  };
}

/** Peers are compared with the quickest peer, ours with it too: below 1 ours is the quickest of all. */
function withRatios(tools: readonly ToolSummary[]): ToolSummary[] {
  const peers = tools.filter(({ tool }) => tool !== 'ours').flatMap(({ seconds }) => seconds?.median ?? []);
  const best = peers.length === 0 ? undefined : Math.min(...peers);
  return tools.map((each) => ({
    ...each,
    ratio: best === undefined || each.seconds === undefined ? undefined : each.seconds.median / best,
  }));
}

function bySeconds(one: ToolSummary, other: ToolSummary): number {
  return (one.seconds?.median ?? Infinity) - (other.seconds?.median ?? Infinity);
}
