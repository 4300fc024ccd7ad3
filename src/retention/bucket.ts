import * as z from 'zod';
import type { ObjectStore } from '../aws/s3.ts';
import { Inventory, objectName, resultObjectOf, sideObjectName } from '../model/inventory.ts';

/** What the project's bucket tells about who uses what. */
export interface BucketSurvey {
  /** Keys of the deployment that goes: its result and what stands beside it. */
  readonly own: readonly string[];
  /** Labels of the other deployments that use a repository, by repository. */
  readonly usedBy: ReadonlyMap<string, readonly string[]>;
  /** Objects that cannot be read as ours, with the reason; while there is one, nothing may be deleted. */
  readonly unreadable: readonly { readonly key: string; readonly why: string }[];
}

export interface Deployment {
  readonly project: string;
  readonly deployment: string;
  /** `<group>-<module>` */
  readonly module: string;
}

/** Largest inventory that we read: some 100,000 repositories. */
const maxInventoryBytes = 16 * 1024 * 1024;
/** The loosest form of a result: the original module's has these keys too. */
const AnyResult = z.object({ charts: z.record(z.string(), z.unknown()) });

/**
 * Reads who uses the registry from the bucket. Every result has an inventory beside it. One that has none was written by
 * the original module, or by somebody else, and what it uses cannot be told.
 */
export async function surveyBucket(
  s3: ObjectStore,
  bucket: string,
  own: Deployment,
  signal: AbortSignal,
): Promise<BucketSurvey> {
  const usedBy = new Map<string, string[]>();
  const unreadable: { key: string; why: string }[] = [];
  const ownObject = objectName(own.deployment, own.module);
  const results = new Map<string, string[]>();
  for (const key of await s3.keys(bucket, signal)) {
    const result = resultObjectOf(key);
    if (result === undefined) unreadable.push({ key, why: 'its name is not one that this program gives' });
    else results.set(result, [...(results.get(result) ?? []), key]);
  }
  for (const [result, keys] of results) {
    const read = await readInventory(s3, bucket, result, keys, own.project, signal);
    if (typeof read === 'string') {
      const original = result === ownObject && !keys.includes(sideObjectName(result, 'inventory'));
      if (!original) unreadable.push({ key: result, why: read });
      else if (keys.includes(result) && !(await isResult(s3, bucket, result, signal)))
        unreadable.push({ key: result, why: 'it is no result of a replication' });
    } else if (read.deployment !== own.deployment || read.module !== own.module) {
      const label = `${read.deployment}/${read.module}`;
      // Deployment `a-b` with module `c` and deployment `a` with module `b-c` share the object's name.
      if (result === ownObject)
        unreadable.push({ key: result, why: `it belongs to ${label}, whose object has the same name` });
      for (const repository of read.repositories) usedBy.set(repository, [...(usedBy.get(repository) ?? []), label]);
    }
  }
  return { own: results.get(ownObject) ?? [], usedBy, unreadable };
}

/** The inventory beside a result, or why it cannot be used. */
async function readInventory(
  s3: ObjectStore,
  bucket: string,
  result: string,
  keys: readonly string[],
  project: string,
  signal: AbortSignal,
): Promise<Inventory | string> {
  const key = sideObjectName(result, 'inventory');
  if (!keys.includes(key))
    return 'it has no inventory beside it, so what it uses cannot be told (the original module writes none)';
  const parsed = Inventory.safeParse(parseJson(await s3.get(bucket, key, maxInventoryBytes, signal)));
  if (!parsed.success) return `its inventory ${key} cannot be read`;
  if (parsed.data.project !== project) return `its inventory says that it belongs to project ${parsed.data.project}`;
  if (objectName(parsed.data.deployment, parsed.data.module) !== result)
    return 'its inventory belongs to another object';
  return parsed.data;
}

async function isResult(s3: ObjectStore, bucket: string, key: string, signal: AbortSignal): Promise<boolean> {
  return AnyResult.safeParse(parseJson(await s3.get(bucket, key, maxInventoryBytes, signal))).success;
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}
