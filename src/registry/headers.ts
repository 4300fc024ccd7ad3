import type { IncomingHttpHeaders } from 'node:http';
import { type Digest, isDigest } from '../model/digest.ts';

/** One header's value; the first where it came more than once. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** Content-Length in bytes, where it is given and makes sense. */
export function lengthOf(headers: IncomingHttpHeaders): number | undefined {
  const text = headerOf(headers, 'content-length');
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Docker-Content-Digest, where it is given and is a digest that we know. */
export function digestHeaderOf(headers: IncomingHttpHeaders): Digest | undefined {
  const text = headerOf(headers, 'docker-content-digest');
  return text !== undefined && isDigest(text) ? text : undefined;
}

/** Content-Type without parameters, in lower case. */
export function mediaTypeOf(headers: IncomingHttpHeaders): string | undefined {
  return headerOf(headers, 'content-type')?.split(';')[0]?.trim().toLowerCase();
}

/** Content-Encoding: the name of the encoding in which a body comes, in lower case; `undefined` when it comes as it is. */
export function encodingOf(headers: IncomingHttpHeaders): string | undefined {
  const name = headerOf(headers, 'content-encoding')?.trim().toLowerCase();
  return name === undefined || name === '' || name === 'identity' ? undefined : name.replace(/^x-/, '');
}
