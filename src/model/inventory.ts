import * as z from 'zod';

/**
 * What a deployment uses in the registry. Stored beside its result in the project's bucket, where the destroy of another
 * deployment reads it: repositories listed here are not deleted. An object that has none beside it cannot be read as
 * ours (the original module writes such), and then nothing is deleted.
 */
export const Inventory = z.object({
  kind: z.literal('image-replication/inventory'),
  version: z.literal(1),
  project: z.string(),
  deployment: z.string(),
  /** `<group>-<module>`, as Seed-Farmer names it. */
  module: z.string(),
  /** Names without host, sorted. */
  repositories: z.array(z.string()),
});
export type Inventory = Readonly<z.infer<typeof Inventory>>;

export function inventoryOf(owner: Omit<Inventory, 'kind' | 'version'>): Inventory {
  const repositories = [...new Set(owner.repositories)].sort();
  return { kind: 'image-replication/inventory', version: 1, ...owner, repositories };
}

/**
 * The result's key in the project's bucket.
 * @param module `<group>-<module>`, as SEEDFARMER_MODULE_NAME has it
 */
export function objectName(deployment: string, module: string): string {
  return `${deployment}-${module}-metadata.json`;
}

/** Objects that may stand beside a result. */
const sideObjects = ['lock', 'proof', 'inventory', 'report'] as const;
export type SideObject = (typeof sideObjects)[number];

/** Of an object beside a result: reports are pages and summaries, too. */
export type SideExtension = 'json' | 'html' | 'md';

/** `<object without .json>.<side>.json`, such as `dev-replication-metadata.lock.json`. */
export function sideObjectName(object: string, side: SideObject, extension: SideExtension = 'json'): string {
  return `${object.replace(/\.json$/, '')}.${side}.${extension}`;
}

/**
 * The result object that a key belongs to: the key itself, or that of the result which it stands beside. `undefined` for
 * keys that are not of this form.
 */
export function resultObjectOf(key: string): string | undefined {
  const [, stem, side] = /^([^/]+-metadata)(?:\.([a-z]+))?\.(?:json|html|md)$/.exec(key) ?? [];
  if (stem === undefined || (side !== undefined && !sideObjects.some((each) => each === side))) return undefined;
  return `${stem}.json`;
}
