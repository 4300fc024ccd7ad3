import type { JsonLike } from '../helm-yaml.ts';
import { splitRender } from '../render/split.ts';
import type { TemplateTexts } from '../render/refusal.ts';
import { isMap, valueAt, type Values } from '../values/tree.ts';

/** A template of a workload that rendered nothing because values that it asks about are empty. */
export interface ShortenedTemplate {
  /** Path inside the chart's folder: `templates/deployment.yaml`. */
  readonly template: string;
  /** Values that are empty or missing: dotted paths as the top chart sees them. A value that is false is a choice and not listed. */
  readonly values: readonly string[];
}

const workload =
  /^kind:\s*["']?(?:Deployment|DaemonSet|StatefulSet|ReplicaSet|Job|CronJob|Pod|ReplicationController)\b/m;

/**
 * Finds what a missing value takes out of a render without a word: a chart may render everything but its workload until a
 * name is given. Looks at the conditions above the `kind:` line of workload templates that left nothing in the render.
 * @param templates of the chart (render/template-texts.ts)
 * @param values those that it was rendered with, subcharts' and the user's included
 */
export function shortenedTemplates(
  templates: TemplateTexts,
  values: Values,
  rendered: string,
): readonly ShortenedTemplate[] {
  const present = new Set(splitRender(rendered).map(({ template }) => template.replace(/^[^/]+\//, '')));
  const live = new Set([...present].map(chartFolder));
  return [...templates].flatMap(([template, text]) => {
    const start = workload.exec(text)?.index;
    // A subchart that renders nothing at all is switched off.
    const off = chartFolder(template) !== '' && !live.has(chartFolder(template));
    if (start === undefined || present.has(template) || off) return [];
    const prefix = [...template.matchAll(/(?:^|\/)charts\/([^/]+)(?=\/)/g)].map(([, name]) => name ?? '');
    const paths = openConditions(text.slice(0, start)).flatMap((condition) => pathsIn(condition));
    const asked = [...new Set(paths.map((path) => [...(path[0] === 'global' ? [] : prefix), ...path].join('.')))];
    const states = asked.map((path) => ({ path, value: valueAt(values, path.split('.')) }));
    if (states.some(({ path, value }) => value === false || (isEmpty(value) && isSwitch(path)))) return [];
    const empty = states.filter(({ value }) => isEmpty(value)).map(({ path }) => path);
    return empty.length === 0 ? [] : [{ template, values: empty }];
  });
}

/** `charts/sub/` of `charts/sub/templates/x.yaml`; empty for the top chart. */
function chartFolder(template: string): string {
  return /^(?:charts\/[^/]+\/)*/.exec(template)?.[0] ?? '';
}

/** Whether the value is by its name a choice of the user's: then its absence is one, too. */
function isSwitch(path: string): boolean {
  return (
    /(?:enable|create|install|deploy)[a-z]*$/i.test(path.slice(path.lastIndexOf('.') + 1)) || /\.enable\w*$/.test(path)
  );
}

/** Conditions that are still open at the end of the text. */
function openConditions(text: string): readonly string[] {
  const open: string[] = [];
  for (const [, action = ''] of text.matchAll(/\{\{-?\s*((?:if|with|range|define|block|else|end)\b[^}]*)\}\}/g)) {
    if (action.startsWith('end')) open.pop();
    else if (action.startsWith('else')) open[Math.max(0, open.length - 1)] = action.replace(/^else\s*/, '');
    else open.push(action);
  }
  return open.filter((action) => /^(?:if|with|range)\b/.test(action));
}

/** Values that a condition asks to be there: those under `not`, `empty` and `eq` say nothing. */
function pathsIn(condition: string): readonly (readonly string[])[] {
  const asserted = condition.replaceAll(/\b(?:not|empty|eq|ne)\s+(?:\([^)]*\)|\S+)/g, '');
  return [...asserted.matchAll(/\.Values((?:\.[A-Za-z_]\w*)+)/g)].map(([, path = '']) => path.slice(1).split('.'));
}

function isEmpty(value: JsonLike | undefined): boolean {
  if (value === undefined || value === null || value === '') return true;
  return Array.isArray(value) ? value.length === 0 : isMap(value) && Object.keys(value).length === 0;
}
