/** Manifests of one source file of the chart, as helm printed them. */
export interface RenderedPart {
  /** Template file as helm names it in `# Source:`: `web/charts/cache/templates/deployment.yaml`. */
  readonly template: string;
  /** Set when this is what an upgrade of a release renders, and not its installation. */
  readonly isUpgrade?: true;
  /** What stands below the `# Source:` line, up to the next `---`. */
  readonly text: string;
  /**
   * Line of the text's first line among what this template rendered, from 1 (counted as `helm template --show-only` prints
   * it, without the separating and `# Source:` lines: helm sorts the documents of a template by kind).
   */
  readonly firstLine: number;
}

const separator = /^---[ \t]*(?:#.*)?\r?$/;
/** helm's own comment, with a mark where it is about an upgrade. */
const upgradeMark = ' (--is-upgrade)';
const sourceComment = /^# Source: (.+?)( \(--is-upgrade\))?\r?$/;

/**
 * Cuts helm's output into its documents. A document without a `# Source:` comment belongs to the file above it: a file of
 * `crds/` with several documents is printed as it is (helm pkg/action/action.go, renderResources).
 */
export function splitRender(rendered: string): readonly RenderedPart[] {
  const parts: RenderedPart[] = [];
  const counted = new Map<string, number>();
  let template = 'unknown template';
  let isUpgrade = false;
  let lines: string[] = [];
  const finish = (): void => {
    const source = sourceOf({ template, isUpgrade });
    const first = counted.get(source) ?? 1;
    if (lines.some((line) => line.trim() !== '')) {
      const mark = isUpgrade ? { isUpgrade } : {};
      parts.push({ template, ...mark, text: `${lines.join('\n')}\n`, firstLine: first });
      counted.set(source, first + lines.length);
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
    const source = fresh ? readSource(line) : undefined;
    if (source === undefined) lines.push(line);
    else ({ template, isUpgrade } = source);
    fresh = false;
  }
  finish();
  return parts;
}

interface Source {
  readonly template: string;
  readonly isUpgrade: boolean;
}

/** What a `# Source:` comment says; `undefined` for any other line. */
export function readSource(line: string): Source | undefined {
  const [, template, mark] = sourceComment.exec(line) ?? [];
  return template === undefined ? undefined : { template, isUpgrade: mark !== undefined };
}

function sourceOf({ template, isUpgrade }: Pick<RenderedPart, 'template'> & { readonly isUpgrade?: boolean }): string {
  return `${template}${isUpgrade === true ? upgradeMark : ''}`;
}

/** What is rendered for an install, and what for an upgrade where that was rendered too: a cluster has one of them at a time. */
export function releasesIn(rendered: string): readonly string[] {
  const parts = splitRender(rendered);
  const upgrade = parts.filter(({ isUpgrade }) => isUpgrade === true);
  if (upgrade.length === 0) return [rendered];
  return [joinParts(parts.filter(({ isUpgrade }) => isUpgrade !== true)), joinParts(upgrade)];
}

/** Whether helm installs the file as it is, before everything else: `web/crds/thing.yaml`, `web/charts/sub/crds/…`. */
export function isCrdFile(template: string): boolean {
  return /^[^/]+\/(?:charts\/[^/]+\/)*crds\//.test(template);
}

/** The parts as one YAML stream, as helm prints it. */
export function joinParts(parts: readonly RenderedPart[]): string {
  return parts.map((part) => `---\n# Source: ${sourceOf(part)}\n${part.text}`).join('');
}
