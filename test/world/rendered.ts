import { parseAllDocuments } from 'yaml';

/**
 * Every text under a key `image` in rendered manifests: containers of any pod template, and what operators read in custom
 * resources. Schemas of custom resources and data that merely looks so (ConfigMaps) are left out.
 */
export function renderedImages(manifests: string): readonly string[] {
  const found = new Set<string>();
  for (const document of parseAllDocuments(manifests, { uniqueKeys: false, strict: false, logLevel: 'silent' })) {
    const object: unknown = document.toJS({ maxAliasCount: -1 });
    if (typeof object !== 'object' || object === null || !('kind' in object)) continue;
    if (object.kind === 'CustomResourceDefinition' || object.kind === 'ConfigMap') continue;
    collect(object, found);
  }
  return [...found].sort();
}

function collect(node: unknown, found: Set<string>): void {
  if (typeof node !== 'object' || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (key === 'image' && typeof value === 'string' && value !== '') found.add(value);
    else collect(value, found);
  }
}
