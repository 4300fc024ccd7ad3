import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate as tick } from 'node:timers/promises';
import { memoryStore } from '../../layout/memory.ts';
import type { Digest } from '../../model/digest.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { type ManifestContent, parseManifest } from '../../model/manifest.ts';
import type { WriteStore } from '../../model/store.ts';
import { randomFrom } from './random.ts';

export type Operation =
  | 'resolve'
  | 'readManifest'
  | 'openBlob'
  | 'listReferrers'
  | 'listTags'
  | 'ensureRepository'
  | 'missingBlobs'
  | 'startUpload'
  | 'finishUpload'
  | 'writeManifest';

/**
 * What goes wrong with a call.
 * - `unavailable`, `unreachable`, `throttled`, `denied`: thrown instead of an answer · `defect`: an error that nobody expects
 * - `truncated`, `corrupted`, `too-long`, `torn`: the bytes of a blob that is read; otherwise as `unavailable`
 * - `unanswered`: everything was done, and then `unreachable` is thrown
 * - `lost`: an upload ends well, and the blob vanishes; otherwise nothing happens
 */
export type FaultKind =
  | 'unavailable'
  | 'unreachable'
  | 'throttled'
  | 'denied'
  | 'defect'
  | 'unanswered'
  | 'lost'
  | 'truncated'
  | 'corrupted'
  | 'too-long'
  | 'torn';

export interface Fault {
  readonly operation: Operation;
  /** How many such calls pass unharmed first. */
  readonly skip: number;
  readonly times: number;
  readonly kind: FaultKind;
}

export interface Manners {
  readonly mounting: WriteStore['mounting'];
  /** Whether mounts are granted, where they are possible at all. */
  readonly grants: boolean;
  readonly batchedExistence: boolean;
}

/** One run's conditions at one host. */
export interface Conditions {
  /** Of the delays. */
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly onCall?: () => void;
}

export interface Call {
  readonly operation: Operation;
  readonly repository: string;
  /** Tag or digest. */
  readonly reference: string;
  /** Whether the content was there already when the call came. */
  readonly held: boolean;
}

/** A host in one run: what the copier gets, and what it did with it. */
export interface Observed {
  readonly store: WriteStore;
  readonly calls: readonly Call[];
  /** Manifests that came before something that they refer to, as `repository reference`. */
  readonly early: readonly string[];
  /** How many faults struck. */
  readonly struck: () => number;
}

/** A host whose content outlives a run. */
export interface UnrulyHost {
  /** What it really holds. */
  readonly truth: WriteStore;
  readonly mounting: Manners['mounting'];
  observe(conditions: Conditions): Observed;
}

/** A host in memory that answers late, in any order, and wrongly when told to. */
export function unrulyHost(name: string, manners: Manners): UnrulyHost {
  const truth = memoryStore(name);
  /** `repository digest` of blobs that vanished after their upload, and of those that committed manifests refer to. */
  const lost = new Set<string>();
  const committed = new Set<string>();
  return {
    truth: withoutLost(truth, lost),
    mounting: manners.mounting,
    observe: (conditions) => observe({ truth, manners, lost, committed }, conditions),
  };
}

interface HostState {
  readonly truth: WriteStore;
  readonly manners: Manners;
  readonly lost: Set<string>;
  readonly committed: Set<string>;
}

function withoutLost(truth: WriteStore, lost: ReadonlySet<string>): WriteStore {
  return {
    ...bound(truth),
    async missingBlobs(repository, blobs, signal) {
      const missing = new Set(await truth.missingBlobs(repository, blobs, signal));
      for (const { digest } of blobs) if (lost.has(`${repository} ${digest}`)) missing.add(digest);
      return missing;
    },
  };
}

/** A store of a class as an object of functions, so that some of them can be exchanged. */
function bound(store: WriteStore): WriteStore {
  return {
    name: store.name,
    mounting: store.mounting,
    resolve: store.resolve.bind(store),
    readManifest: store.readManifest.bind(store),
    openBlob: store.openBlob.bind(store),
    listReferrers: store.listReferrers.bind(store),
    listTags: store.listTags.bind(store),
    ensureRepository: store.ensureRepository.bind(store),
    missingBlobs: store.missingBlobs.bind(store),
    startUpload: store.startUpload.bind(store),
    finishUpload: store.finishUpload.bind(store),
    writeManifest: store.writeManifest.bind(store),
  };
}

function observe(state: HostState, conditions: Conditions): Observed {
  const { manners, lost, committed } = state;
  const real = withoutLost(state.truth, lost);
  const calls: Call[] = [];
  const early: string[] = [];
  const never = new AbortController().signal;
  const random = randomFrom(conditions.seed);
  const faults = conditions.faults.map((fault) => ({ ...fault }));
  let struck = 0;

  const take = (operation: Operation): FaultKind | undefined => {
    for (const fault of faults) {
      if (fault.operation !== operation || fault.times === 0) continue;
      if (fault.skip > 0) {
        fault.skip -= 1;
        continue;
      }
      fault.times -= 1;
      struck += 1;
      return fault.kind;
    }
    return undefined;
  };

  const holdsBlob = async (repository: string, digest: Digest): Promise<boolean> =>
    !(await real.missingBlobs(repository, [{ mediaType: '', digest, size: 0 }], never)).has(digest);

  /** Notes a call, lets others overtake it, and does what the fault says. */
  const call = async <T>(
    operation: Operation,
    repository: string,
    reference: string,
    work: (kind: FaultKind | undefined) => Promise<T>,
    held = false,
  ): Promise<T> => {
    calls.push({ operation, repository, reference, held });
    conditions.onCall?.();
    // Mostly at once, now and then so late that much else happens meanwhile.
    const patience = random();
    for (let ticks = patience < 0.9 ? patience * 6 : (patience - 0.9) * 400; ticks >= 1; ticks -= 1) await tick();
    const kind = take(operation);
    const error = kind === undefined ? undefined : errorOf(kind, operation, real.name);
    if (error !== undefined && kind !== 'unanswered') throw error;
    const result = await work(kind);
    if (error !== undefined) throw error;
    return result;
  };

  const mayMount = async (digest: Digest, from: string): Promise<boolean> => {
    if (!manners.grants || manners.mounting === 'never' || !(await holdsBlob(from, digest))) return false;
    return manners.mounting === 'after-upload' || committed.has(`${from} ${digest}`);
  };

  const store: WriteStore = {
    name: real.name,
    mounting: manners.mounting,
    ...(manners.batchedExistence ? { batchedExistence: true } : {}),
    resolve: (repository, reference, signal) =>
      call('resolve', repository, reference, () => real.resolve(repository, reference, signal)),
    readManifest: (repository, reference, signal) =>
      call('readManifest', repository, reference, () => real.readManifest(repository, reference, signal)),
    openBlob: (repository, descriptor, how) =>
      call('openBlob', repository, descriptor.digest, async (kind) =>
        bent(await buffer(await real.openBlob(repository, descriptor, how)), kind, real.name),
      ),
    listReferrers: (repository, digest, signal) =>
      call('listReferrers', repository, digest, () => real.listReferrers(repository, digest, signal)),
    listTags: (repository, signal) => call('listTags', repository, '', () => real.listTags(repository, signal)),
    ensureRepository: (repository, signal) =>
      call('ensureRepository', repository, '', () => real.ensureRepository(repository, signal)),
    missingBlobs: (repository, blobs, signal) =>
      call('missingBlobs', repository, '', () => real.missingBlobs(repository, blobs, signal)),
    startUpload: (repository, digest, from, signal) =>
      call('startUpload', repository, digest, async () => {
        const allowed = from !== undefined && (await mayMount(digest, from)) ? from : undefined;
        const start = await real.startUpload(repository, digest, allowed, signal);
        if (start.kind === 'mounted') lost.delete(`${repository} ${digest}`);
        return start;
      }),
    async finishUpload(session, descriptor, body, signal) {
      const { repository } = session;
      const key = `${repository} ${descriptor.digest}`;
      const held = await holdsBlob(repository, descriptor.digest);
      try {
        await call(
          'finishUpload',
          repository,
          descriptor.digest,
          async (kind) => {
            await real.finishUpload(session, descriptor, body, signal);
            lost.delete(key);
            if (kind === 'lost') lost.add(key);
          },
          held,
        );
      } finally {
        if (body instanceof Readable) body.destroy();
      }
    },
    writeManifest: (repository, reference, content, signal) =>
      call('writeManifest', repository, reference, async () => {
        const blobs = blobsIn(content);
        const gone = blobs.filter((digest) => lost.has(`${repository} ${digest}`));
        if (gone.length > 0) throw new ReplicationError('blob-unknown', `${real.name} holds no ${gone.join(', ')}`);
        await real.writeManifest(repository, reference, content, signal).catch((error: unknown) => {
          if (isReplicationError(error, 'blob-unknown')) early.push(`${repository} ${reference}`);
          throw error;
        });
        for (const digest of blobs) committed.add(`${repository} ${digest}`);
      }),
  };
  return { store, calls, early, struck: () => struck };
}

function blobsIn({ bytes, descriptor }: ManifestContent): readonly Digest[] {
  const manifest = parseManifest(bytes, descriptor.mediaType);
  return manifest.kind === 'index' ? [] : [manifest.config, ...manifest.layers].map(({ digest }) => digest);
}

const streamKinds: readonly FaultKind[] = ['truncated', 'corrupted', 'too-long', 'torn'];

function errorOf(kind: FaultKind, operation: Operation, host: string): Error | undefined {
  if (kind === 'lost' || (operation === 'openBlob' && streamKinds.includes(kind))) return undefined;
  if (kind === 'defect') return new Error(`a defect in ${operation}`);
  const code = kind === 'unanswered' ? 'unreachable' : streamKinds.includes(kind) ? 'unavailable' : kind;
  return new ReplicationError(code as 'unavailable', `${host} is told to fail ${operation}`, { host });
}

/** A blob's bytes as the fault lets them arrive. */
function bent(bytes: Buffer, kind: FaultKind | undefined, host: string): Readable {
  const half = bytes.subarray(0, bytes.length >> 1);
  if (kind === 'truncated') return Readable.from([half], { objectMode: false });
  if (kind === 'too-long') return Readable.from([bytes, Buffer.from('x')], { objectMode: false });
  if (kind === 'corrupted' && bytes.length > 0) {
    const wrong = Buffer.from(bytes);
    wrong[wrong.length - 1] = (wrong[wrong.length - 1] ?? 0) ^ 1;
    return Readable.from([wrong], { objectMode: false });
  }
  if (kind !== 'torn') return Readable.from([bytes], { objectMode: false });
  return Readable.from(
    (function* tear() {
      yield half;
      throw new ReplicationError('unreachable', `the connection to ${host} broke`, { host });
    })(),
    { objectMode: false },
  );
}
