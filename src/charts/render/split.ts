/** Manifests of one source file of the chart, as helm printed them. */
export interface RenderedPart {
  /** Template file as helm names it in `# Source:`: `web/charts/cache/templates/deployment.yaml`. */
  readonly template: string;
  /** What stands below the `# Source:` line, up to the next `---`. */
  readonly text: string;
  /**
   * Line of the text's first line among what this template rendered, from 1 (counted as `helm template --show-only` prints
   * it, without the separating and `# Source:` lines: helm sorts the documents of a template by kind).
   */
  readonly firstLine: number;
}

const separator = /^---[ \t]*(?:#.*)?\r?$/;
const sourceComment = /^# Source: (.+?)\r?$/;

/**
 * Cuts helm's output into its documents. A document without a `# Source:` comment belongs to the file above it: a file of
 * `crds/` with several documents is printed as it is (helm pkg/action/action.go, renderResources).
 */
export function splitRender(rendered: string): readonly RenderedPart[] {
  const parts: RenderedPart[] = [];
  const counted = new Map<string, number>();
  let template = 'unknown template';
  let lines: string[] = [];
  const finish = (): void => {
    const first = counted.get(template) ?? 1;
    if (lines.some((line) => line.trim() !== '')) {
      parts.push({ template, text: `${lines.join('\n')}\n`, firstLine: first });
      counted.set(template, first + lines.length);
    }
    lines = [];
  };
  let fresh = true;
  for (const line of rendered.split('\n')) {
    if (separator.test(line)) {
      finish();
      fresh = true;
      continue;
    }
    const source = fresh ? sourceComment.exec(line)?.[1] : undefined;
    if (source !== undefined) template = source;
    else lines.push(line);
    fresh = false;
  }
  finish();
  return parts;
}

/** Whether helm installs the file as it is, before everything else: `web/crds/thing.yaml`, `web/charts/sub/crds/…`. */
export function isCrdFile(template: string): boolean {
  return /^[^/]+\/(?:charts\/[^/]+\/)*crds\//.test(template);
}

/** The parts as one YAML stream, as helm prints it. */
export function joinParts(parts: readonly RenderedPart[]): string {
  return parts.map(({ template, text }) => `---\n# Source: ${template}\n${text}`).join('');
}
