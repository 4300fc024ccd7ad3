import { parseAllDocuments } from 'yaml';

/** An image reference in rendered manifests, with the place it stands in. */
export interface RenderedReference {
  readonly reference: string;
  /** `templates/deployment.yaml` of the chart, with subchart folders; from helm's `# Source:` comment. */
  readonly template: string;
  /** `Deployment/web`. */
  readonly object: string;
  /** `spec.template.spec.containers[0].image`. */
  readonly path: string;
}

/** Lists of a pod's specification whose entries have an image (Kubernetes API core/v1 PodSpec), wherever such a list stands. */
const containerLists = new Set(['containers', 'initContainers', 'ephemeralContainers']);

/** References of containers in pod templates, also where custom resources embed one. */
export function typedReferences(rendered: string): readonly RenderedReference[] {
  return parts(rendered).flatMap(({ template, text }) =>
    parseAllDocuments(text, { uniqueKeys: false, strict: false, logLevel: 'silent' }).flatMap((document) => {
      const object: unknown = document.toJS({ maxAliasCount: 10_000 });
      return isMap(object)
        ? containers(object, '').map((found) => ({ ...found, template, object: nameOf(object) }))
        : [];
    }),
  );
}

/** Helm writes `# Source: <chart>/templates/<file>` above what a template renders. */
function parts(rendered: string): readonly { readonly template: string; readonly text: string }[] {
  return rendered
    .split(/^---\s*$/m)
    .map((text) => ({ text, template: /^# Source: (.+)$/m.exec(text)?.[1] ?? 'unknown template' }));
}

function containers(node: unknown, path: string): readonly { readonly reference: string; readonly path: string }[] {
  if (Array.isArray(node)) return node.flatMap((each: unknown, position) => containers(each, `${path}[${position}]`));
  if (!isMap(node)) return [];
  return Object.entries(node).flatMap(([key, value]) => {
    const here = path === '' ? key : `${path}.${key}`;
    const own = containerLists.has(key) && Array.isArray(value) ? images(value, here) : [];
    return [...own, ...containers(value, here)];
  });
}

function images(
  list: readonly unknown[],
  path: string,
): readonly { readonly reference: string; readonly path: string }[] {
  return list.flatMap((each, position) => {
    const image = isMap(each) ? each['image'] : undefined;
    return typeof image === 'string' && image.trim() !== ''
      ? [{ reference: image.trim(), path: `${path}[${position}].image` }]
      : [];
  });
}

function nameOf(object: Readonly<Record<string, unknown>>): string {
  const metadata = object['metadata'];
  const name = isMap(metadata) && typeof metadata['name'] === 'string' ? metadata['name'] : 'unnamed';
  return `${typeof object['kind'] === 'string' ? object['kind'] : 'object'}/${name}`;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
