import { ReplicationError } from '../../model/errors.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import { placeText } from './texts.ts';

/** What happens to a chart with a reference that no value moves. */
export const uncontrolledPolicies = ['WARN', 'FAIL', 'PATCH'] as const;
/** The parameter UncontrolledImages. */
export type UncontrolledPolicy = (typeof uncontrolledPolicies)[number];

/** What reaches a reference of a chart that no value moves. */
export type OffersFor = (key: string, reference: string) => readonly string[];

/** What isolation means for the run: what is told, what fails it, and the number for the metadata. */
export interface Verdict {
  /** What the cluster would still pull from elsewhere, for the reader. */
  readonly warnings: readonly string[];
  readonly errors: readonly ReplicationError[];
  /** References that no value moves, and charts that could not be rendered to look for them. */
  readonly gap: number;
}

/**
 * Judges what is known about the charts: references that values control have to be proven in every mode; for those that no
 * value controls the policy decides.
 * @param offersFor what was tried and reaches a reference of a chart (by its key), in words
 * @param declared keys of charts whose images the data files declare: not being able to render these is a gap, not an error
 */
export function judge(
  charts: readonly ChartIsolation[],
  policy: UncontrolledPolicy,
  declared: ReadonlySet<string>,
  offersFor: OffersFor = () => [],
): Verdict {
  const warnings: string[] = [];
  const errors: ReplicationError[] = [];
  let gap = 0;
  for (const chart of charts) {
    const open = [
      ...gapsOf(chart, policy, offersFor),
      ...(chart.profiles.length === 0 && declared.has(chart.key) ? unrenderedGap(chart) : []),
    ];
    gap += open.length;
    if (policy === 'WARN') warnings.push(...open.map(({ message, remedy = '' }) => `${message}; ${remedy}`));
    else errors.push(...open);
    if (chart.profiles.length > 0 || !declared.has(chart.key)) errors.push(...defectsOf(chart));
  }
  return { warnings, errors, gap };
}

function gapsOf(chart: ChartIsolation, policy: UncontrolledPolicy, offersFor: OffersFor): readonly ReplicationError[] {
  return chart.references
    .filter(({ outcome }) => outcome === 'uncontrolled')
    .map(({ reference, places: [place], why }) => {
      const where = place === undefined ? '' : ` (${placeText(place)})`;
      return new ReplicationError(
        'refused',
        `${titleOf(chart)}: still pulls ${reference}${where}: ${why ?? 'no value moves it'}; the image is copied all the same`,
        {
          side: 'module',
          reference,
          remedy: gapRemedy(offersFor(chart.key, reference), policy),
        },
      );
    });
}

function gapRemedy(offers: readonly string[], policy: UncontrolledPolicy): string {
  const patch =
    policy === 'PATCH' ? [] : ['UncontrolledImages=PATCH replaces it where it literally stands in the chart'];
  const others = offers.length > 0 ? offers : ['use a version of the chart that has a value for it'];
  return `what helps: ${[...patch, ...others].join('; or ')}`;
}

function unrenderedGap(chart: ChartIsolation): readonly ReplicationError[] {
  return [
    new ReplicationError(
      'refused',
      `${titleOf(chart)} was not checked for images beside the declared ones: ${chart.problems.join('; ')}`,
      { side: 'module', reference: titleOf(chart), remedy: valuesRemedy(chart) },
    ),
  ];
}

function defectsOf(chart: ChartIsolation): readonly ReplicationError[] {
  const reference = titleOf(chart);
  const remedy =
    chart.profiles.length === 0 ? valuesRemedy(chart) : `declare the image paths of the chart in the data file`;
  const error = (message: string, advice = remedy): ReplicationError =>
    new ReplicationError('refused', `${reference}: ${message}`, { side: 'module', reference, remedy: advice });
  return [
    ...chart.references.flatMap(({ reference: image, outcome, why = '', proof, problem = '', controlledBy }) => {
      if (outcome === 'refused')
        return [
          error(
            `${image} cannot be re-pointed, though ${controlledBy.join(', ')} would do it: ${why}`,
            `give the values that the chart asks for under charts.${chart.key}.values of the data file`,
          ),
        ];
      if (outcome === 'unknown') return [error(`${image} stays public: ${why}`)];
      return proof === 'failed' ? [error(`the isolation proof fails for ${image}: ${problem}`)] : [];
    }),
    ...chart.problems.map((problem) => error(problem)),
  ];
}

function valuesRemedy({ key }: ChartIsolation): string {
  return `give the values that the chart asks for under charts.${key}.values, or under a profile of it, in the data file`;
}

function titleOf({ name, version }: ChartIsolation): string {
  return `chart ${name} ${version}`;
}
