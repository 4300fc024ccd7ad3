import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';

/** How long an answer is used again, in milliseconds: long enough for a burst of connections, short enough to follow a moved name. */
const keepMs = 30_000;

/**
 * A lookup for sockets that asks the system once for all connections that open together: the system's resolver runs on
 * a pool of four threads, so 64 connections to a slow name server would hold up each other and every file operation.
 * Failures are not kept.
 */
export function sharedLookup(ask: typeof systemLookup = systemLookup): LookupFunction {
  const known = new Map<string, { readonly addresses: readonly LookupAddress[]; readonly until: number }>();
  const asking = new Map<string, Promise<readonly LookupAddress[]>>();

  const resolve = (hostname: string): Promise<readonly LookupAddress[]> => {
    const answer = known.get(hostname);
    if (answer !== undefined && answer.until > performance.now()) return Promise.resolve(answer.addresses);
    const running = asking.get(hostname);
    if (running !== undefined) return running;
    const question = new Promise<readonly LookupAddress[]>((fulfil, reject) => {
      ask(hostname, { all: true }, (error, addresses) => {
        asking.delete(hostname);
        if (error !== null) {
          reject(error);
          return;
        }
        known.set(hostname, { addresses, until: performance.now() + keepMs });
        fulfil(addresses);
      });
    });
    asking.set(hostname, question);
    return question;
  };

  return (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const family = options.family === 4 || options.family === 'IPv4' ? 4 : options.family === 6 || options.family === 'IPv6' ? 6 : 0; // prettier-ignore
        const fitting = family === 0 ? addresses : addresses.filter((address) => address.family === family);
        const [first] = fitting;
        if (first === undefined) {
          callback(
            Object.assign(new Error(`no address of the wanted family for ${hostname}`), { code: 'ENOTFOUND' }),
            '',
            0,
          );
        } else if (options.all === true) callback(null, [...fitting]);
        else callback(null, first.address, first.family);
      },
      (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), '', 0),
    );
  };
}
