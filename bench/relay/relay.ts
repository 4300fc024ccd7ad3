import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { tokenBucket } from '../../src/testing/token-bucket.ts';
import { type RelayContext, relayConnection } from './connection.ts';
import { newCounters, type RelayCounters } from './counters.ts';
import type { SideProfile } from './profile.ts';

export interface Relay {
  readonly port: number;
  /** Begins anew: drops connections, zeroes the counters, fills the bucket. */
  point(upstreamPort: number, profile: SideProfile): void;
  counters(): RelayCounters;
  close(): Promise<void>;
}

/** Starts a relay on a free port. Until it is pointed at a registry it drops every connection. */
export async function startRelay(): Promise<Relay> {
  let context: RelayContext | undefined;
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    open.add(client);
    client.once('close', () => open.delete(client));
    if (context === undefined) client.destroy();
    else relayConnection(client, context);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the relay was given no port');
  const dropAll = (): void => {
    for (const client of open) client.destroy();
  };
  return {
    port: address.port,
    point(upstreamPort, profile) {
      dropAll();
      const admitManifestPut = profile.manifestPuts === undefined ? () => true : tokenBucket(profile.manifestPuts);
      context = { upstreamPort, profile, counters: newCounters(), admitManifestPut };
    },
    counters: () => context?.counters ?? newCounters(),
    async close() {
      dropAll();
      server.close();
      await once(server, 'close');
    },
  };
}
