import type { StorageKind } from './blob-storage.ts';
import type { PolicyStatement } from './ecr-iam.ts';
import type { TlsFiles } from './http-host.ts';
import type { RegistryAuth } from './registry-auth.ts';
import type { Manners } from './registry-context.ts';
import type { RequestClass } from './request-log.ts';
import type { Rate } from './token-bucket.ts';

/** What kind of registry is started; only `manners` has to be said. */
export interface RegistryServerOptions {
  readonly manners: Manners;
  /** Default: `none` on a plain registry, `ecr-token` on an ECR-like one. */
  readonly auth?: RegistryAuth | undefined;
  /** Default: memory. A directory keeps repositories too, and a later server on it finds them. */
  readonly storage?: StorageKind | undefined;
  /** ECR: the account setting BLOB_MOUNTING (default off, as at AWS). Plain: whether it mounts (default on). */
  readonly mounting?: boolean | undefined;
  /** Above this rate a manifest PUT is answered 429 without Retry-After, as ECR does above 10 a second. Default: no limit. */
  readonly manifestPutRate?: Rate | undefined;
  /** The same for other classes of requests. */
  readonly rates?: Partial<Readonly<Record<RequestClass, Rate>>> | undefined;
  /** Blob downloads are redirected (307) to another port that refuses Authorization. Default: on ECR only. */
  readonly blobRedirect?: boolean | undefined;
  /** Seconds that a redirect's address is good for; default 300. */
  readonly redirectSeconds?: number | undefined;
  /** OCI 1.1 referrers interface. Default: on ECR only (distribution has none; the pusher keeps the fallback tag). */
  readonly referrersApi?: boolean | undefined;
  readonly tls?: TlsFiles | undefined;
  /** Address to listen on; default 127.0.0.1. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly accountId?: string | undefined;
  readonly region?: string | undefined;
  readonly partition?: string | undefined;
  /** What references, repositoryUri and proxyEndpoint say instead of `127.0.0.1:PORT` (reached through a proxy's routes). */
  readonly hostName?: string | undefined;
  /** Host that redirects to the object store name, where it is reached through a proxy's routes as well. */
  readonly storageHostName?: string | undefined;
  /** Who the requests come from, as access denied messages say it. */
  readonly principal?: string | undefined;
  /** IAM policy that is enforced; without any everything is allowed. */
  readonly policy?: readonly PolicyStatement[] | undefined;
}
