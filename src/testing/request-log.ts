import type { IncomingHttpHeaders } from 'node:http';

/** What a request is for, so that tests can count and break requests by meaning and not by URL. */
export const requestClasses = [
  'ping',
  'token',
  'blob-head',
  'blob-get',
  'blob-delete',
  /** The redirected download from the object store behind the registry. */
  'storage-get',
  'upload-start',
  /** An upload-start that asks for a mount (`?mount=&from=`). */
  'mount',
  'upload-patch',
  'upload-put',
  'upload-status',
  'upload-delete',
  'manifest-head',
  'manifest-get',
  'manifest-put',
  'manifest-delete',
  'tags',
  'referrers',
  'catalog',
  /** ECR's own interface (JSON 1.1); `action` names the operation. */
  'api',
  'chart-index',
  'chart',
  'chart-provenance',
  'connect',
  'other',
] as const;
export type RequestClass = (typeof requestClasses)[number];

/** What is known about a request before it is handled. */
export interface RequestFacts {
  readonly class: RequestClass;
  readonly repository?: string | undefined;
  /** Tag or digest that the path names. */
  readonly reference?: string | undefined;
  /** Operation of ECR's own interface, such as `CreateRepository`. */
  readonly action?: string | undefined;
}

/** One request as the server saw it. Byte counts are bodies without headers. */
export interface LoggedRequest extends RequestFacts {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  /** Headers as received, Authorization included: the credential tests look for leaks here. */
  readonly headers: IncomingHttpHeaders;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** 0 until answered, and for ever when the connection was reset instead. */
  status: number;
  bytesIn: number;
  bytesOut: number;
  /** Kind of the fault that was injected into this request. */
  fault?: string | undefined;
}

/** Every request that a server got, in order of arrival. */
export class RequestLog {
  readonly entries: LoggedRequest[] = [];

  /** How many requests there were of a class (or that satisfy a condition), whatever their answer. */
  count(what: RequestClass | ((entry: LoggedRequest) => boolean)): number {
    return this.of(what).length;
  }

  of(what: RequestClass | ((entry: LoggedRequest) => boolean)): readonly LoggedRequest[] {
    return this.entries.filter(typeof what === 'function' ? what : (entry) => entry.class === what);
  }

  /** Sum of answer bodies of a class, in bytes. */
  bytesOut(what: RequestClass | ((entry: LoggedRequest) => boolean)): number {
    return this.of(what).reduce((sum, entry) => sum + entry.bytesOut, 0);
  }

  /** Sum of request bodies of a class, in bytes. */
  bytesIn(what: RequestClass | ((entry: LoggedRequest) => boolean)): number {
    return this.of(what).reduce((sum, entry) => sum + entry.bytesIn, 0);
  }

  reset(): void {
    this.entries.length = 0;
  }
}
