/**
 * Why helm did not render a chart:
 * - `required`: a template asks for a value with `required` · `schema`: values.schema.json refuses the values
 * - `fail`: a template ends with `fail`, such as bitnami's check for substituted images
 * - `missing-value`: a template reads below a value that is not there (`nil pointer`)
 * - `kube-version`, `dependencies`: Chart.yaml asks for another cluster version, or for subcharts that the package lacks
 * - `template`, `yaml`: a template does not parse or run, or what it writes is no YAML
 * - `schema-unreachable`: values.schema.json refers to a document on the network, which rendering has none of
 * - `time`, `output`, `memory`: helm was killed at that limit · `other`: none of these
 */
export type RefusalKind =
  | 'required'
  | 'schema'
  | 'fail'
  | 'missing-value'
  | 'kube-version'
  | 'dependencies'
  | 'template'
  | 'yaml'
  | 'schema-unreachable'
  | 'time'
  | 'output'
  | 'memory'
  | 'other';

export interface Refusal {
  readonly kind: RefusalKind;
  /** helm's own words, without its warnings and advice; at most 2,000 characters. */
  readonly message: string;
  /** Template that was rendered, `web/templates/deployment.yaml`, and the line in its source, from 1. */
  readonly template: string | undefined;
  readonly line: number | undefined;
  /** Paths of the values that are missing or refused, as the top chart sees them (`sub.auth.password`), as far as they can be told. */
  readonly values: readonly string[];
}

const locationPattern = /\(?([^\s():]+\/templates\/[^\s():]+):(\d+)(?::\d+)?/;

const kinds: readonly (readonly [RefusalKind, RegExp])[] = [
  ['schema-unreachable', /failing loading "https?:/],
  ['schema', /^values don't meet the specifications of the schema/],
  ['kube-version', /^chart requires kubeVersion/],
  ['dependencies', /checking for chart dependencies/i],
  // helm rewrites the errors of `required` and `fail` (pkg/engine/engine.go, cleanupExecError).
  ['fail', /^execution error at \(/],
  ['missing-value', /nil pointer evaluating|index of (?:nil|untyped nil)/],
  ['yaml', /^YAML parse error|error converting YAML to JSON|error unmarshaling JSON/],
  ['template', /^(?:parse error at|template: )|^\S+\/templates\/\S+:\d+|executing "/],
];

/** Texts of the chart's and its subcharts' template files, and of its Chart.yaml, by path inside the chart's folder. */
export type TemplateTexts = ReadonlyMap<string, string>;

/**
 * Reads what helm said.
 * @param said helm's words as `reasonOf` leaves them
 * @param templates where to look for the `required` that wrote the message
 */
export function readRefusal(said: string, templates: TemplateTexts): Refusal {
  const at = locationPattern.exec(said);
  const template = at?.[1];
  const told = {
    message: said,
    template,
    line: at?.[2] === undefined ? undefined : Number(at[2]),
  };
  const kind = kinds.find(([, pattern]) => pattern.test(said))?.[0] ?? 'other';
  const prefix = subchartPrefix(template);
  if (kind === 'schema') return { ...told, kind, values: schemaPaths(said, chartName(templates)) };
  if (kind === 'missing-value') return { ...told, kind, values: unique(missingPaths(said, prefix)) };
  if (kind !== 'fail') return { ...told, kind, values: [] };
  const message = said.replace(/^execution error at \([^)]*\): /, '');
  const required = requiredPaths(message, templates, prefix);
  if (required.length > 0) return { ...told, kind: 'required', values: required };
  return { ...told, kind, values: unique(mentionedPaths(message, prefix)) };
}

/** `web/charts/redis/charts/common/templates/x` reads its values below `redis.common`. */
function subchartPrefix(template: string | undefined): string {
  const folders = [...(template ?? '').matchAll(/\/charts\/([^/]+)/g)].map(([, name]) => name ?? '');
  return folders.map((name) => `${name}.`).join('');
}

const valuePath = String.raw`\.Values((?:\.[A-Za-z_]\w*)+)`;

/** Paths of the actions `required "message" .Values.x` (either order, also with a pipe) that carry this message. */
function requiredPaths(message: string, templates: TemplateTexts, prefix: string): readonly string[] {
  const found: string[] = [];
  for (const text of templates.values()) {
    for (const [, action = ''] of text.matchAll(/\{\{-?([^{}]*\brequired\b[^{}]*)\}\}/g)) {
      if (!sameWords(action, message)) continue;
      for (const [, path = ''] of action.matchAll(new RegExp(valuePath, 'g'))) found.push(globalOr(prefix, path));
    }
  }
  return unique(found);
}

/** Whether the action's string literal is the message; one with verbs (`printf "%s is needed"`) is compared around them. */
function sameWords(action: string, message: string): boolean {
  return [...action.matchAll(/"((?:[^"\\]|\\.)*)"|`([^`]*)`/g)].some(([, quoted, raw]) => {
    const literal = raw ?? (quoted ?? '').replaceAll(/\\(.)/g, '$1');
    const pieces = literal.split(/%[a-z]/).filter((piece) => piece.trim() !== '');
    return pieces.length > 0 && literal.trim() !== '' && pieces.every((piece) => message.includes(piece.trim()));
  });
}

function missingPaths(said: string, prefix: string): readonly string[] {
  return [...said.matchAll(new RegExp(String.raw`at <[^<>]*?\$?${valuePath}`, 'g'))].map(([, path = '']) =>
    globalOr(prefix, path),
  );
}

/** Paths that a message names: `.Values.a.b`, a dotted path in quotes, or after --set. */
function mentionedPaths(message: string, prefix: string): readonly string[] {
  const written = [...message.matchAll(new RegExp(valuePath, 'g'))].map(([, path = '']) => globalOr(prefix, path));
  const quoted = [...message.matchAll(/(?:[`'"]|--set[ =])([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+)/g)];
  return [...written, ...quoted.map(([, path = '']) => (path.startsWith('Values.') ? path.slice(7) : path))];
}

function globalOr(prefix: string, path: string): string {
  const bare = path.slice(1);
  return bare === 'global' || bare.startsWith('global.') ? bare : `${prefix}${bare}`;
}

/**
 * Paths in the words of both validators: `- at '/image': missing property 'tag'` (santhosh-tekuri, since helm 3.18) and
 * `- image: tag is required` (xeipuuv, before). Lines without a dash name the chart that the next ones are about.
 */
function schemaPaths(said: string, top: string): readonly string[] {
  const paths: string[] = [];
  const [, ...lines] = said.split('\n');
  let prefix = '';
  for (const line of lines) {
    const chart = /^([A-Za-z0-9][\w.-]*):\s*$/.exec(line)?.[1];
    if (chart !== undefined) {
      prefix = chart === top ? '' : `${chart}.`;
      continue;
    }
    const [, at, new_ = ''] = /^\s*- at '([^']*)': (.*)$/.exec(line) ?? [];
    const [, field, old = ''] = /^\s*- (?!at ')([^:]+): (.*)$/.exec(line) ?? [];
    if (new_ === 'validation failed') continue; // the complaints below it say what about
    if (at !== undefined) paths.push(...below(prefix, at.split('/').slice(1), named(new_)));
    else if (field !== undefined) paths.push(...below(prefix, field === '(root)' ? [] : field.split('.'), named(old)));
  }
  return unique(paths);
}

function chartName(templates: TemplateTexts): string {
  return /^name:[ \t]*["']?([\w.-]+)/m.exec(templates.get('Chart.yaml') ?? '')?.[1] ?? '';
}

/** Property names that a validator's complaint is about. */
function named(complaint: string): readonly string[] {
  const modern = /^(?:missing propert(?:y|ies)|additional propert(?:y|ies)) (.+?)(?: not allowed)?$/.exec(complaint);
  if (modern !== null) return [...(modern[1] ?? '').matchAll(/'([^']+)'/g)].map(([, name = '']) => name);
  const old = /^(?:Additional property )?([\w.-]+) is (?:required|not allowed)$/.exec(complaint)?.[1];
  return old === undefined ? [] : [old];
}

function below(prefix: string, path: readonly string[], names: readonly string[]): readonly string[] {
  const ends = names.length === 0 ? [path] : names.map((name) => [...path, name]);
  return ends.filter((each) => each.length > 0).map((each) => `${prefix}${each.join('.')}`);
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
