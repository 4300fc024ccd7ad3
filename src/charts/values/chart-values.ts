import type { Chart } from '../chart.ts';
import { isMap, merge, type Values } from './tree.ts';

/**
 * The values that a chart is rendered with, subcharts' under their names or aliases: a parent's go over its subcharts', the
 * user's over all. `global` is the parent's own and reaches every subchart, a subchart's own `global` reaches that subchart.
 * @see https://helm.sh/docs/chart_template_guide/subcharts_and_globals/
 */
export function chartValues(chart: Chart, over: Values = {}): Values {
  let under: Values = {};
  for (const [key, subchart] of chart.subcharts) under = { ...under, [key]: chartValues(subchart) };
  return merge(merge(under, isMap(chart.values) ? chart.values : {}), over);
}
