import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { type CopyRequest, placeName, type TargetPlace } from '../copy/request.ts';
import type { CredentialSource } from '../model/credentials.ts';
import { ReplicationError, ReplicationErrors } from '../model/errors.ts';
import { fileProblem } from '../model/file-problem.ts';
import type { Origin } from '../model/plan.ts';
import { parsePlatform, type Platform } from '../model/platform.ts';
import { formatLocation, locate, parseReference } from '../model/reference.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { registryStore } from '../registry/store.ts';
import { type ImageListEntry, parseImageList } from '../sources/image-list.ts';
import { plannedImage } from './copy-requests.ts';
import { defaultRepositorySettings } from './ecr-store.ts';
import { splitList } from './environment.ts';
import { s3Text } from './fleet/input-text.ts';
import type { LazyEcr } from './lazy-ecr.ts';
import type { ImagesWork, StoreOf } from './lock-images.ts';
import { targetRoot } from './lock-targets.ts';
import type { Session } from './session.ts';
import { openedOnce } from './source-stores.ts';
import { layoutHost, openTarget, parseTarget, type Target } from './target.ts';

/** Options that a list is read and copied by. */
export interface ListCommand {
  /** File with the images; `-` for standard input. */
  readonly list?: string | undefined;
  readonly target?: string | undefined;
  readonly platforms?: string | undefined;
}

/** What a list says is to be copied. @throws ReplicationError `usage`, `configuration` */
export async function listedWork(
  session: Session,
  command: ListCommand,
  sources: StoreOf,
  credentials: CredentialSource,
  ecr: LazyEcr,
): Promise<ImagesWork> {
  const { list } = command;
  if (list === undefined) {
    throw new ReplicationError('usage', 'neither a list nor a lock is given', {
      remedy: 'pass --list FILE, or --lock FILE',
    });
  }
  const name = list === '-' ? 'standard input' : list;
  const entries = parseImageList(await readList(session, list), name);
  if (entries.length === 0)
    session.reporter.emit({ type: 'notice', level: 'warning', message: `${name} names no image: nothing is done` });
  const platforms: 'all' | readonly Platform[] =
    command.platforms === undefined ? 'all' : splitList(command.platforms).map(parsePlatform);
  const open = await targets(session, command, entries, credentials, ecr.target);
  const images = await Promise.all(
    entries.map(async (entry) => requestOf(entry, platforms, sources, await open(entry))),
  );
  refuseSharedNames(entries, images);
  const requests = mergeRequests(images);
  const layout = command.target?.startsWith('oci-layout:') === true ? layoutHost : undefined;
  const places = requests.flatMap((request) => request.targets);
  const stores = new Map(places.map((place) => [layout ?? place.store.name, place.store]));
  return {
    requests,
    images: requests.map((request) => plannedImage(request, { host: layout })),
    origins: originsOf(entries, images),
    root: command.target === undefined ? undefined : targetRoot(command.target),
    targetStore: (host) => {
      const store = stores.get(host);
      if (store === undefined) throw new ReplicationError('internal', `nothing was copied to ${host}`);
      return store;
    },
    lock: undefined,
  };
}

async function readList(session: Session, path: string): Promise<string> {
  const stored = await s3Text(session, path);
  if (stored !== undefined) return stored;
  try {
    // Not /dev/stdin: where standard input is a socket, as a supervisor or another Node gives it, that cannot be opened.
    return path === '-' ? await text(process.stdin) : await readFile(path, 'utf8');
  } catch (cause) {
    throw new ReplicationError('usage', `cannot read the list ${path}: ${fileProblem(cause)}`, {
      remedy: 'name a readable file with --list',
      cause,
    });
  }
}

function moreLines(count: number): string {
  if (count === 0) return '';
  return count === 1 ? ' (nor does 1 more line)' : ` (nor do ${count} more lines)`;
}

/** Where each line of the list goes: its own target reference, or `--target` and the source's path without its host. */
async function targets(
  session: Session,
  command: ListCommand,
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
      `${lost[0].origin.path} names no target reference${moreLines(lost.length - 1)}`,
      {
        remedy: 'write `source-reference target-reference` in each line, or pass --target host/prefix',
      },
    );
  }
  const stores = openedOnce(
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
    settings: defaultRepositorySettings,
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
    for (const name of places.map(placeName)) {
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

/** Which lines ask for each artifact. @param requests of the entries, in their order */
function originsOf(
  entries: readonly ImageListEntry[],
  requests: readonly CopyRequest[],
): ReadonlyMap<string, readonly Origin[]> {
  const origins = new Map<string, Origin[]>();
  for (const [position, { artifact }] of requests.entries()) {
    const origin = entries[position]?.origin;
    if (origin !== undefined) origins.set(artifact, [...(origins.get(artifact) ?? []), origin]);
  }
  return origins;
}

/** Lines with the same source become one artifact with several names, so that it is asked about and read once. */
function mergeRequests(requests: readonly CopyRequest[]): readonly CopyRequest[] {
  const merged = new Map<string, CopyRequest>();
  for (const request of requests) {
    const known = merged.get(request.artifact);
    const fresh = request.targets.filter(
      (place) => known?.targets.some((other) => placeName(other) === placeName(place)) !== true,
    );
    merged.set(request.artifact, known === undefined ? request : { ...known, targets: [...known.targets, ...fresh] });
  }
  return [...merged.values()];
}
