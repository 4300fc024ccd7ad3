import type { CopyRequest } from '../../copy/request.ts';
import { toReplicationError } from '../../model/errors.ts';
import { type Failure, failureOf } from '../../model/result.ts';
import { locate, parseReference } from '../../model/reference.ts';
import type { ReadStore } from '../../model/store.ts';
import type { SelectedImage } from '../../sources/ecr/selection.ts';
import { targetRepository } from '../../sources/ecr/target-repository.ts';
import type { EcrSettings } from './settings.ts';
import { type Destination, type EcrWork, requestFor } from './work.ts';

/**
 * Images of public and private registries. They are not listed, only `ALL_TAGS` is asked for; the copier compares each
 * image by HEAD, which costs no pull on Docker Hub.
 */
export async function registryWork(
  selected: readonly SelectedImage[],
  stores: (host: string) => ReadStore,
  destination: Destination,
  { prefix, platforms }: EcrSettings,
  signal: AbortSignal,
): Promise<EcrWork> {
  const copy: CopyRequest[] = [];
  const failures: Failure[] = [];
  for (const image of selected) {
    const { registry, repository } = locate(parseReference(image.name));
    const store = stores(registry);
    const to = { ...destination, repository: targetRepository(prefix, image.name) };
    const add = (reference: string, label: string): void => {
      copy.push(requestFor({ store, repository, reference }, label, to, platforms));
    };
    if (image.kind === 'image') {
      add(image.digest ?? image.label, image.label);
      continue;
    }
    try {
      for (const tag of await store.listTags(repository, signal)) add(tag, tag);
    } catch (error) {
      failures.push(failureOf(image.written, toReplicationError(error, { side: 'source', reference: image.written })));
    }
  }
  return {
    copy: [...new Map(copy.map((request) => [targetOf(request), request])).values()],
    unchanged: [],
    failures,
    absent: [],
    deleted: [],
    repositories: [],
  };
}

/** `a:1` and `a:ALL_TAGS` in one list ask for one image twice. */
function targetOf({ targets: [place] }: CopyRequest): string {
  return `${place?.repository ?? ''} ${place?.reference ?? ''}`;
}
