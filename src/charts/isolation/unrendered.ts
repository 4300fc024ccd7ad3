import { merge } from '../values/tree.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import type { IsolatedChart, IsolationRequest } from './port.ts';

/** What is known of a chart that does not render with the values that the data files give. */
export function unrendered(
  request: IsolationRequest,
  why: string,
  cost: Pick<ChartIsolation, 'renders' | 'seconds'>,
): IsolatedChart {
  const { key, chart, chartTarget, values, declared } = request;
  const isolation: ChartIsolation = {
    key,
    name: chart.name,
    version: chart.version,
    target: chartTarget,
    profiles: [],
    references: [],
    conditional: [],
    rejected: [],
    derived: [],
    warnings: [],
    holds: false,
    problems: [`helm cannot render the chart: ${why}`],
    ...cost,
  };
  return { values: merge(values, declared), overrides: declared, images: [], isolation, uses: [] };
}
