import { type Digest, parseDigest } from '../model/digest.ts';
import type { ManifestContent } from '../model/manifest.ts';
import { type Answer, AnswerError } from './answer.ts';
import { openStorage } from './blob-storage.ts';
import { damageOf } from './damage.ts';
import { answerApi } from './ecr-api.ts';
import { createIam, type Iam } from './ecr-iam.ts';
import { FaultQueue, type FaultRule } from './faults.ts';
import { type Exchange, type HttpHost, startHttpHost } from './http-host.ts';
import type { ImageContent } from './image-builder.ts';
import { presignedStorage, type PresignedStorage } from './presigned-storage.ts';
import { createAuthenticator } from './registry-auth.ts';
import type { AccountInfo, RegistryContext } from './registry-context.ts';
import { inflictAfter, inflictBefore } from './registry-faults.ts';
import { answerRegistry } from './registry-handler.ts';
import type { RegistryServerOptions } from './registry-options.ts';
import { classifyRegistryRequest } from './registry-routes.ts';
import { findManifest, RegistryState, type Repository, type RepositorySettings } from './registry-state.ts';
import { type RequestClass, type RequestFacts, RequestLog } from './request-log.ts';
import { type Rate, tokenBucket } from './token-bucket.ts';

export type { RegistryServerOptions } from './registry-options.ts';

/** A registry on a local port, with its faults, its log and a way around its interface. */
export interface RegistryServer {
  /** `127.0.0.1:PORT`: where it listens. */
  readonly host: string;
  /** What references to its images start with. */
  readonly hostName: string;
  /** Also the address of ECR's own interface (AWS_ENDPOINT_URL_ECR). */
  readonly url: string;
  /** `127.0.0.1:PORT` of the object store behind it. */
  readonly storageHost: string;
  /** Where bearer tokens come from. */
  readonly tokenHost: string;
  readonly account: AccountInfo;
  readonly requests: RequestLog;
  readonly faults: FaultQueue;
  /** Which IAM permissions the requests needed, and the policy that is enforced. */
  readonly iam: Iam;
  count(what: RequestClass): number;
  /** Adds a fault. */
  fail(rule: FaultRule): void;
  /** Forgets log, faults and recorded permissions; keeps the content. */
  reset(): void;
  expireTokens(): void;
  /** Addresses that were given out for redirected downloads stop working. */
  expireRedirects(): void;
  setMounting(enabled: boolean): void;

  createRepository(
    name: string,
    settings?: Partial<RepositorySettings>,
    resourceTags?: Readonly<Record<string, string>>,
  ): void;
  repositories(): readonly string[];
  /** `undefined` when there is no such repository. A live view: change it through the methods of this server only. */
  repository(name: string): Readonly<Repository> | undefined;
  tags(repository: string): readonly string[];
  manifest(repository: string, reference: string): ManifestContent | undefined;
  hasBlob(repository: string, digest: string): boolean;
  /** Everything in storage that is not what it should be, see `damageOf`; empty when all is well. */
  damage(): Promise<readonly string[]>;
  /** Writes an image straight into storage, under a tag or (without one) by digest only. */
  putImage(repository: string, tag: string | undefined, image: ImageContent): Promise<void>;
  /** Writes a manifest without any check, e.g. one whose blobs are missing. */
  putManifest(repository: string, tag: string | undefined, bytes: Uint8Array, mediaType: string): void;
  moveTag(repository: string, tag: string, digest: string): void;
  deleteTag(repository: string, tag: string): void;
  deleteManifest(repository: string, digest: string): void;
  deleteBlob(repository: string, digest: string): void;
  close(): Promise<void>;
}

/**
 * Starts a registry: `plain` behaves like CNCF distribution, `ecr` like Amazon ECR with its own interface on the same
 * port. Every PUT is verified against its digest.
 */
export async function startRegistryServer(options: RegistryServerOptions): Promise<RegistryServer> {
  const requests = new RequestLog();
  const faults = new FaultQueue();
  const ecr = options.manners === 'ecr';
  const presigned = presignedStorage(options.redirectSeconds ?? 300);
  const rates = limiters(options);
  const tls = options.tls === undefined ? {} : { tls: options.tls };
  // The hosts need the context and the context needs their ports: the handlers below run only after it is set.
  const shared: { context?: RegistryContext; storage?: HttpHost } = {};
  const contextNow = (): RegistryContext => {
    if (shared.context === undefined) throw new Error('the server is still starting');
    return shared.context;
  };
  const common = { ...tls, host: options.host, log: requests, faults };
  const storage = await startHttpHost({
    ...common,
    classify: (method, url, headers) => storageFacts(method, url, headers),
    handle: async (exchange) => answerStorage(contextNow(), presigned, exchange),
  });
  const tokenHost =
    options.auth?.kind === 'bearer' && options.auth.separateTokenServer === true
      ? await startHttpHost({
          ...common,
          classify: classifyRegistryRequest,
          handle: (exchange) => contextNow().auth.token(exchange),
        })
      : undefined;
  const main = await startHttpHost({
    ...common,
    port: options.port,
    classify: classifyRegistryRequest,
    handle: async (exchange) => {
      const context = contextNow();
      if (rates.get(exchange.entry.class)?.() === false) throw throttled(exchange);
      return exchange.entry.class === 'api' ? answerApi(context, exchange) : answerRegistry(context, exchange);
    },
    beforeHandling: async (fault, exchange) => inflictBefore(contextNow(), fault, exchange),
    afterHandling: async (fault, exchange, answer) =>
      inflictAfter(contextNow(), storage, main, fault, exchange, answer),
  });
  const scheme = options.tls === undefined ? 'http' : 'https';
  const hostName = options.hostName ?? main.host;
  const endpoint = `${scheme}://${hostName}`;
  const account = {
    id: options.accountId ?? '123456789012',
    region: options.region ?? 'us-east-1',
    partition: options.partition ?? 'aws',
  };
  const storageUrl = `${scheme}://${options.storageHostName ?? storage.host}`;
  const redirect = options.blobRedirect ?? ecr;
  const context: RegistryContext = {
    manners: options.manners,
    account,
    state: new RegistryState(typeof options.storage === 'object' ? options.storage.directory : undefined),
    storage: openStorage(options.storage ?? 'memory'),
    uploads: new Map(),
    auth: createAuthenticator(options.auth ?? { kind: ecr ? 'ecr-token' : 'none' }, {
      endpoint,
      tokenUrl: `${tokenHost?.url ?? endpoint}/token`,
    }),
    iam: createIam(
      options.principal ?? `arn:${account.partition}:sts::${account.id}:assumed-role/module-role/session`,
      options.policy,
    ),
    mounting: options.mounting ?? !ecr,
    referrersApi: options.referrersApi ?? ecr,
    presign: redirect ? (name, digest) => `${storageUrl}${presigned.sign(name, digest)}` : undefined,
    endpoint,
    hostName,
  };
  shared.context = context;
  const hosts = [main, storage, ...(tokenHost === undefined ? [] : [tokenHost])];
  return serverFor(context, { main, storage, tokenHost: tokenHost ?? main, hosts, requests, faults, presigned });
}

function limiters(options: RegistryServerOptions): ReadonlyMap<RequestClass, () => boolean> {
  const rates = Object.entries(options.rates ?? {}) as [RequestClass, Rate][];
  if (options.manifestPutRate !== undefined) rates.push(['manifest-put', options.manifestPutRate]);
  return new Map(rates.map(([name, rate]) => [name, tokenBucket(rate)]));
}

/** ECR's throttling names no time to wait: https://github.com/containerd/containerd/issues/10447 */
function throttled(exchange: Exchange): AnswerError {
  const body =
    exchange.entry.class === 'api'
      ? { __type: 'ThrottlingException', message: 'Rate exceeded' }
      : { errors: [{ code: 'TOOMANYREQUESTS', message: 'Rate exceeded' }] };
  const status = exchange.entry.class === 'api' ? 400 : 429;
  return new AnswerError({ status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

function storageFacts(method: string, url: URL, headers: Exchange['headers']): RequestFacts {
  const facts = classifyRegistryRequest(method, url, headers);
  if (facts.class !== 'other') return facts;
  const slash = url.pathname.lastIndexOf('/');
  return { class: 'storage-get', repository: url.pathname.slice(1, slash), reference: url.pathname.slice(slash + 1) };
}

/** The object store: presigned downloads, and uploads that a Location header sent to this other host. */
async function answerStorage(
  context: RegistryContext,
  presigned: PresignedStorage,
  exchange: Exchange,
): Promise<Answer> {
  if (exchange.entry.class === 'storage-get') return presigned.serve(context, exchange);
  if (exchange.headers.authorization !== undefined) {
    throw new AnswerError({ status: 400, body: 'credentials of another host were sent here' });
  }
  return answerRegistry(context, exchange, { trusted: true });
}

interface Parts {
  readonly main: HttpHost;
  readonly storage: HttpHost;
  readonly tokenHost: HttpHost;
  readonly hosts: readonly HttpHost[];
  readonly requests: RequestLog;
  readonly faults: FaultQueue;
  readonly presigned: PresignedStorage;
}

function serverFor(context: RegistryContext, parts: Parts): RegistryServer {
  const { state } = context;
  const need = (name: string): Repository => {
    const repository = state.get(name);
    if (repository === undefined) throw new Error(`there is no repository ${name} on ${context.hostName}`);
    return repository;
  };
  const change = (name: string, how: (repository: Repository) => void): void => {
    const repository = need(name);
    how(repository);
    state.save(repository);
  };
  return {
    host: parts.main.host,
    hostName: context.hostName,
    url: parts.main.url,
    storageHost: parts.storage.host,
    tokenHost: parts.tokenHost.host,
    account: context.account,
    requests: parts.requests,
    faults: parts.faults,
    iam: context.iam,
    count: (what) => parts.requests.count(what),
    fail: (rule) => parts.faults.add(rule),
    reset() {
      parts.requests.reset();
      parts.faults.clear();
      context.iam.reset();
    },
    expireTokens: () => context.auth.expireTokens(),
    expireRedirects: () => parts.presigned.expire(),
    setMounting(enabled) {
      context.mounting = enabled;
    },
    createRepository(name, settings, resourceTags = {}) {
      const repository = state.create(name, settings);
      for (const [key, value] of Object.entries(resourceTags)) repository.resourceTags.set(key, value);
      state.save(repository);
    },
    repositories: () => state.names,
    repository: (name) => state.get(name),
    tags: (name) => [...need(name).tags.keys()].sort(),
    manifest(name, reference) {
      const repository = state.get(name);
      const stored = repository === undefined ? undefined : findManifest(repository, reference);
      if (stored === undefined) return undefined;
      const { mediaType, digest, bytes } = stored;
      return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
    },
    hasBlob(name, digest) {
      const wanted = parseDigest(digest);
      return state.get(name)?.blobs.has(wanted) === true && context.storage.size(wanted) !== undefined;
    },
    damage: () => damageOf(state, context.storage),
    putImage: (name, tag, image) => putImage(context, name, tag, image),
    putManifest(name, tag, bytes, mediaType) {
      const repository = state.getOrCreate(name);
      const { digest } = state.storeManifest(repository, bytes, mediaType);
      if (tag !== undefined) change(name, ({ tags }) => tags.set(tag, digest));
    },
    moveTag: (name, tag, digest) => change(name, ({ tags }) => tags.set(tag, parseDigest(digest))),
    deleteTag: (name, tag) => change(name, ({ tags }) => tags.delete(tag)),
    deleteManifest: (name, digest) => change(name, ({ manifests }) => manifests.delete(parseDigest(digest))),
    deleteBlob: (name, digest) => change(name, ({ blobs }) => blobs.delete(parseDigest(digest))),
    async close() {
      await Promise.all(parts.hosts.map((host) => host.close()));
    },
  };
}

async function putImage(
  context: RegistryContext,
  name: string,
  tag: string | undefined,
  image: ImageContent,
): Promise<void> {
  const repository = context.state.getOrCreate(name);
  for (const [digest, content] of image.blobs) {
    if (context.storage.size(digest) === undefined) await context.storage.put(digest, content);
    repository.blobs.add(digest);
  }
  for (const { descriptor, bytes } of image.manifests) {
    context.state.storeManifest(repository, bytes, descriptor.mediaType, descriptor.digest);
  }
  const extra: readonly (readonly [string, Digest])[] = image.tags ?? [];
  for (const [extraTag, digest] of extra) repository.tags.set(extraTag, digest);
  if (tag !== undefined) repository.tags.set(tag, image.digest);
  context.state.save(repository);
}
