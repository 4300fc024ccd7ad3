import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { ReplicationError, ReplicationErrors } from '../../model/errors.ts';
import { parsePlatform, type Platform } from '../../model/platform.ts';
import { formatLocation, locate, parseReference } from '../../model/reference.ts';
import { type CredentialSource, firstCredential } from '../../model/credentials.ts';
import type { CopyRequest, TargetPlace } from '../../copy/request.ts';
import { registryStore } from '../../registry/store.ts';
import { type ImageListEntry, parseImageList } from '../../sources/image-list.ts';
import { splitList } from '../environment.ts';
import { dockerCredentials } from '../docker-credentials.ts';
import { lazyEcr } from '../lazy-ecr.ts';
import { replicate } from '../replicate.ts';
import type { JobResult, Session } from '../session.ts';
import { openTarget, parseTarget, type Target } from '../target.ts';
import type { ReadStore, WriteStore } from '../../model/store.ts';

export interface ImagesCommand {
  readonly list: string;
  readonly target?: string | undefined;
  readonly platforms?: string | undefined;
  readonly plan?: boolean | undefined;
  readonly verify?: boolean | undefined;
  readonly region?: string | undefined;
}

/** Copies a list of images as they are: `source-reference [target-reference]` a line. */
export async function runImages(session: Session, command: ImagesCommand): Promise<JobResult> {
  const entries = parseImageList(await readList(command.list), command.list === '-' ? 'standard input' : command.list);
  const platforms: 'all' | readonly Platform[] =
    command.platforms === undefined ? 'all' : splitList(command.platforms).map(parsePlatform);
  const ecr = lazyEcr(session, command.region);
  try {
    const credentials = firstCredential([ecr.credentials, dockerCredentials(session)]);
    const open = await targets(session, command, entries, credentials, ecr.target);
    const sources = storeCache((host): ReadStore => registryStore(session.transport, host, { credentials }));
    const images = await Promise.all(
      entries.map(async (entry) => requestOf(entry, platforms, sources, await open(entry))),
    );
    refuseSharedNames(entries, images);
    const merged = mergeRequests(images);
    session.reporter.emit({ type: 'run-started', job: 'images', target: command.target ?? 'as listed' });
    session.reporter.emit({
      type: 'planned',
      images: merged.length,
      charts: 0,
      targets: images.length,
      sources: [...new Set(merged.map((request) => request.source.store.name))].sort(),
    });
    if (command.plan === true) {
      for (const request of merged)
        for (const place of request.targets)
          session.reporter.emit({
            type: 'notice',
            level: 'info',
            message: `${request.artifact} -> ${placeText(place)}`,
          });
      return { failures: [], totals: undefined };
    }
    const replication = await replicate(session, { images: merged, charts: [], verify: command.verify === true });
    for (const message of replication.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
    return replication;
  } finally {
    await ecr.close();
  }
}

async function readList(path: string): Promise<string> {
  try {
    // Not /dev/stdin: where standard input is a socket, as a supervisor or another Node gives it, that cannot be opened.
    return path === '-' ? await text(process.stdin) : await readFile(path, 'utf8');
  } catch (cause) {
    throw new ReplicationError(
      'usage',
      `cannot read the list ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { remedy: 'name a readable file with --list', cause },
    );
  }
}

/** Where each line of the list goes: its own target reference, or `--target` and the source's path without its host. */
async function targets(
  session: Session,
  command: ImagesCommand,
  entries: readonly ImageListEntry[],
  credentials: CredentialSource,
  ecrTarget: (host: string) => Promise<WriteStore> | undefined,
): Promise<(entry: ImageListEntry) => Promise<TargetPlace>> {
  const common =
    command.target === undefined ? undefined : await openCommonTarget(session, command.target, credentials, ecrTarget);
  const lost = entries.filter((entry) => entry.target === undefined && common === undefined);
  if (lost[0] !== undefined) {
    throw new ReplicationError(
      'usage',
      `${lost[0].origin.path} names no target reference (nor do ${lost.length - 1} more lines)`,
      {
        remedy: 'write `source-reference target-reference` in each line, or pass --target host/prefix',
      },
    );
  }
  const stores = storeCache(
    async (host): Promise<WriteStore> =>
      (await ecrTarget(host)) ?? registryStore(session.transport, host, { credentials }),
  );
  return async (entry) => {
    const source = locate(parseReference(entry.source));
    if (entry.target === undefined && common !== undefined) {
      return {
        store: common.store,
        repository: common.path + source.repository,
        reference: tagOf(entry.source) ?? source.reference,
      };
    }
    const target = locate(parseReference(entry.target ?? ''));
    const written = parseReference(entry.target ?? '');
    const reference = written.tag ?? written.digest ?? tagOf(entry.source) ?? source.reference;
    if (common?.ecr === undefined && common !== undefined && command.target?.startsWith('oci-layout:') === true) {
      return { store: common.store, repository: target.repository, reference };
    }
    return { store: await stores(target.registry), repository: target.repository, reference };
  };
}

function tagOf(reference: string): string | undefined {
  return parseReference(reference).tag;
}

async function openCommonTarget(
  session: Session,
  text: string,
  credentials: CredentialSource,
  ecrTarget: (host: string) => Promise<WriteStore> | undefined,
): Promise<Target> {
  const parsed = parseTarget(text);
  if (parsed.kind === 'registry') {
    const ecr = await ecrTarget(parsed.host);
    if (ecr !== undefined) return { store: ecr, host: parsed.host, path: parsed.path, credentials, ecr: undefined };
  }
  return openTarget(session, parsed, {
    aws: () => {
      throw new ReplicationError('internal', 'a named target is no ECR of the account');
    },
    settings: { scanOnPush: true, immutableTags: false, encryptionKey: 'AES256' },
    tags: {},
    credentials,
  });
}

function requestOf(
  entry: ImageListEntry,
  platforms: 'all' | readonly Platform[],
  sources: (host: string) => ReadStore,
  target: TargetPlace,
): CopyRequest {
  const location = locate(parseReference(entry.source));
  return {
    artifact: formatLocation(location),
    source: { store: sources(location.registry), repository: location.repository, reference: location.reference },
    targets: [target],
    platforms,
  };
}

/** One name for two sources would be a race in the copy. The list's parser sees names that are written out, and not those that `--target` makes. */
function refuseSharedNames(entries: readonly ImageListEntry[], requests: readonly CopyRequest[]): void {
  const takenBy = new Map<string, { readonly artifact: string; readonly line: string }>();
  const problems: ReplicationError[] = [];
  for (const [position, { artifact, targets: places }] of requests.entries()) {
    const line = entries[position]?.origin.path ?? '';
    for (const name of places.map(placeText)) {
      const other = takenBy.get(name);
      if (other !== undefined && other.artifact !== artifact)
        problems.push(
          new ReplicationError(
            'configuration',
            `${line}: ${name} is also where ${other.artifact} goes (${other.line})`,
            {
              reference: name,
              remedy: 'write a target reference of its own behind one of them',
            },
          ),
        );
      takenBy.set(name, other ?? { artifact, line });
    }
  }
  if (problems.length > 0) throw new ReplicationErrors(problems);
}

/** Lines with the same source become one artifact with several names, so that it is asked about and read once. */
function mergeRequests(requests: readonly CopyRequest[]): readonly CopyRequest[] {
  const merged = new Map<string, CopyRequest>();
  for (const request of requests) {
    const known = merged.get(request.artifact);
    const fresh = request.targets.filter(
      (place) => known?.targets.some((other) => placeText(other) === placeText(place)) !== true,
    );
    merged.set(request.artifact, known === undefined ? request : { ...known, targets: [...known.targets, ...fresh] });
  }
  return [...merged.values()];
}

function placeText(place: TargetPlace): string {
  return `${place.store.name}/${place.repository}:${place.reference}`;
}

function storeCache<T>(open: (host: string) => T): (host: string) => T {
  const known = new Map<string, T>();
  return (host) => {
    const store = known.get(host) ?? open(host);
    known.set(host, store);
    return store;
  };
}
