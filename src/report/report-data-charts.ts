import type { ChartIsolation, IsolatedReference, IsolationPlace } from '../model/isolation.ts';
import { hostOfReference } from './report-data-artifacts.ts';
import type { ReportChart, ReportGap, ReportReference, ReportRemedy, Standing } from './report-data.ts';

export function reportChart(chart: ChartIsolation): ReportChart {
  return {
    ...chart,
    references: chart.references.map((reference) => ({
      ...reference,
      standing: standingOf(reference),
      host: hostOfReference(reference.reference),
    })),
  };
}

function standingOf({ outcome, proof }: IsolatedReference): Standing {
  if (proof === 'failed') return 'failed';
  if (outcome === 'allowed') return 'allowed';
  if (proof === 'proven') return 'proven';
  return outcome === 'repointed' || outcome === 'patched' ? 'unproven' : 'gap';
}

/** What is not covered, with everything that can be done about it. */
export function reportGaps(charts: readonly ReportChart[], remedies: readonly ReportRemedy[]): readonly ReportGap[] {
  return charts.flatMap((chart) =>
    chart.references.flatMap((reference) => {
      const { standing } = reference;
      if (standing === 'proven' || standing === 'allowed') return [];
      return [{ ...gapOf(chart, reference, remedies), standing }];
    }),
  );
}

function gapOf(
  chart: ReportChart,
  reference: ReportReference,
  remedies: readonly ReportRemedy[],
): Omit<ReportGap, 'standing'> {
  const tried = remedies.filter((each) => each.chart === chart.key && each.reaches.includes(reference.reference));
  const offered = tried.map(({ text, file }) => (file === undefined ? text : `${text}: ${file}`));
  return {
    chart: chart.key,
    reference: reference.reference,
    why: reference.problem ?? reference.why ?? reasons[reference.outcome],
    places: reference.places.map(placeText),
    target: reference.target,
    remedies: offered.length > 0 ? offered : [generalRemedy(reference)],
  };
}

export function placeText({ template, line, object, field, onlyUpgrade }: IsolationPlace): string {
  return `${template}:${line} (${object}: ${field})${onlyUpgrade === true ? ', upgrades only' : ''}`;
}

const reasons: Readonly<Record<IsolatedReference['outcome'], string>> = {
  repointed: 'values set it to the target, which this run has not proven',
  patched: 'the chart was changed to name the target, which this run has not proven',
  allowed: 'its host is allowed',
  uncontrolled: 'no value of the chart moves it',
  refused: 'the chart does not let the values be changed',
  unknown: 'it was not found out which value moves it',
};

function generalRemedy({ standing, outcome, insideList }: ReportReference): string {
  if (standing === 'failed') {
    return insideList
      ? 'its value lies inside a list, which the EKS module appends to instead of replacing it: set the whole list in the data file’s "values"'
      : 'run again: what is missing at the target is copied; if it stays, the problem above names the place to look at';
  }
  if (standing === 'unproven') return 'run without --plan: the proof follows the copy';
  if (outcome === 'refused') return 'set the values that the chart asks for in the data file’s "values", and run again';
  if (outcome === 'unknown') return 'declare its value paths in the data file (charts.<key>.images), and run again';
  return 'UncontrolledImages=PATCH replicates the chart with the reference replaced, where it literally stands in a template; else let the cluster rewrite it on admission';
}
