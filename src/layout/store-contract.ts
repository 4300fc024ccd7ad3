import { describe } from 'vitest';
import { blobTests } from './store-contract/blobs.ts';
import { manifestTests } from './store-contract/manifests.ts';
import { repositoryTests } from './store-contract/repositories.ts';
import { type MadeStore, openSuite } from './store-contract/suite.ts';

/** In what stores may differ. */
export interface ContractOptions {
  /** Whether the store takes sha512 digests. Default true. */
  readonly sha512?: boolean;
}

/**
 * What src/model/store.ts promises, as tests: one suite for every store. For *.test.ts files only.
 * `makeStore` gives an empty store, one for each test.
 */
export function storeContract(
  name: string,
  makeStore: () => Promise<MadeStore>,
  { sha512 = true }: ContractOptions = {},
): void {
  describe(`store contract: ${name}`, () => {
    const suite = openSuite(makeStore);
    repositoryTests(suite);
    blobTests(suite);
    manifestTests(suite, sha512);
  });
}
