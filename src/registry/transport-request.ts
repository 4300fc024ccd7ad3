import type { Readable } from 'node:stream';
import type { RequestClass } from './pacers.ts';

/** One request, with all that is needed to repeat it where that is safe. */
export interface TransportRequest {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly headers: Readonly<Record<string, string>>;
  readonly requestClass: RequestClass;
  /** For messages: `manifest library/nginx:1.29`. */
  readonly what: string;
  readonly signal: AbortSignal;
  readonly body?: Uint8Array | Readable | undefined;
  /** `never`: bodies that cannot be sent again, and probes. */
  readonly repeat: 'safe' | 'never';
  /** Goes before those that have not been sent yet: it was, and has to be again. */
  readonly again?: true | undefined;
  /** Longest answer that is kept in memory, in bytes. */
  readonly limit: number;
  /** Hands the body of a 200 or 206 out as a stream instead; `expected`: its length in bytes, where it is known. */
  readonly stream?: { readonly expected?: number | undefined } | undefined;
}
