import type { CredentialSource } from '../model/credentials.ts';
import type { ReadStore } from '../model/store.ts';
import { registryStore } from '../registry/store.ts';
import type { Transport } from '../registry/transport.ts';

/** Registries to read from by their hosts, each opened once: what one artifact has found out of it serves the others. */
export function sourceStores(transport: Transport, credentials: CredentialSource): (host: string) => ReadStore {
  return openedOnce((host) => registryStore(transport, host, { credentials }));
}

/** Opens for each host once, and hands out the same from then on. */
export function openedOnce<T>(open: (host: string) => T): (host: string) => T {
  const known = new Map<string, T>();
  return (host) => {
    const store = known.get(host) ?? open(host);
    known.set(host, store);
    return store;
  };
}
