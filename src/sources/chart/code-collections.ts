import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import * as z from 'zod';
import type { Downloads } from '../../charts/downloads.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../../model/errors.ts';
import { fileProblem } from '../../model/file-problem.ts';
import { isRepository } from '../../model/reference.ts';
import type { ListedImage } from './listed-image.ts';

const maxFileBytes = 4 * 1024 * 1024;
const fileName = 'codecollections.yaml';

/** What is read of codecollections.yaml (runwhen-contrib/codecollection-registry); everything else in it belongs to its owner. */
const CodeCollections = z.looseObject({ codecollections: z.array(z.looseObject({ git_url: z.string() })).min(1) });

export interface CodeCollectionOptions {
  /** Address with `{branch}` in it, or a checkout's folder, or the file itself. */
  readonly place: string;
  /** Branch of the collections: part of their images' names. */
  readonly branch: string;
  /** `host/path` that the images lie under. */
  readonly registryPrefix: string;
  /** Where the values name such an image. */
  readonly helmKey: string;
  readonly downloads: Downloads;
  readonly signal: AbortSignal;
  readonly notice: (message: string) => void;
}

export interface CodeCollectionImages {
  readonly images: readonly ListedImage[];
  /** Entries that name no repository of an organisation: each is a failure of its own. */
  readonly problems: readonly ReplicationError[];
}

/**
 * Images of the code collections: `<registry prefix>/<organisation>-<repository>-<branch>` for each git URL of
 * codecollections.yaml. Their tags are the most recent ones, as the file names none.
 * @throws ReplicationError when the file cannot be had or is not what it should be
 */
export async function codeCollectionImages(options: CodeCollectionOptions): Promise<CodeCollectionImages> {
  const { text, file } = await readCollections(options);
  const collections = parseCollections(text, file);
  const images: ListedImage[] = [];
  const problems: ReplicationError[] = [];
  for (const url of new Set(collections)) {
    const image = imageOf(url, options);
    if (image === undefined)
      problems.push(
        new ReplicationError(
          'configuration',
          `${file}: ${JSON.stringify(url)} is no git URL of an organisation's repository`,
          {
            side: 'source',
            reference: file,
            remedy: 'write it as https://host/organisation/repository, or list its image with --extra-images',
          },
        ),
      );
    else if (!images.some(({ source }) => source === image)) images.push(listed(image, file, options));
  }
  if (images.length === 0) throw problems[0] ?? new ReplicationError('not-found', `${file} lists no code collections`);
  return { images, problems };
}

function listed(source: string, file: string, { helmKey }: CodeCollectionOptions): ListedImage {
  return {
    source,
    destination: undefined,
    destinationTag: undefined,
    helmKey,
    helmKeyIs: 'usual',
    untagged: 'newest',
    from: 'code collections',
    origin: { path: file },
  };
}

/** Organisation and repository of a git URL, over https, ssh or as scp writes it. */
function imageOf(gitUrl: string, { registryPrefix, branch }: CodeCollectionOptions): string | undefined {
  const path = /^(?:[a-z+]+:\/\/(?:[^/@]+@)?[^/]+\/|[^/@\s]+@[^/:]+:)([^?#]+)$/i.exec(gitUrl.trim())?.[1];
  const parts =
    path
      ?.replace(/\/+$/, '')
      .replace(/\.git$/i, '')
      .split('/') ?? [];
  if (parts.length !== 2 || parts.some((part) => part === '')) return undefined;
  // A branch may have slashes; an image's last segment has none.
  const name = [...parts, branch].join('-').replaceAll('/', '-').toLowerCase();
  return isRepository(name) ? `${registryPrefix.replace(/\/+$/, '')}/${name}` : undefined;
}

function parseCollections(text: string, file: string): readonly string[] {
  let content: unknown;
  try {
    content = parse(text);
  } catch (cause) {
    throw wrong(
      file,
      `is no valid YAML: ${cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : 'broken'}`,
      cause,
    );
  }
  const parsed = CodeCollections.safeParse(content);
  if (parsed.success) return parsed.data.codecollections.map((each) => each.git_url);
  const [issue] = parsed.error.issues;
  throw wrong(file, `${issue?.path.join('.') || 'the document'}: ${issue?.message ?? 'is wrong'}`, parsed.error);
}

function wrong(file: string, what: string, cause: unknown): ReplicationError {
  return new ReplicationError('corrupt', `${file} is no list of code collections: ${what}`, {
    side: 'source',
    reference: file,
    remedy:
      'it has to be as https://github.com/runwhen-contrib/codecollection-registry has it: codecollections: [{git_url: …}]',
    cause,
  });
}

interface Read {
  readonly text: string;
  /** Where it was, for messages. */
  readonly file: string;
}

async function readCollections(options: CodeCollectionOptions): Promise<Read> {
  if (!/^https?:\/\//.test(options.place)) return readLocal(options);
  const { place, branch } = options;
  const address = (of: string): string => place.replaceAll('{branch}', of.split('/').map(encodeURIComponent).join('/'));
  try {
    return await download(address(branch), options);
  } catch (error) {
    if (!isReplicationError(error, 'not-found') || address(branch) === address('main')) throw error;
    options.notice(`${address(branch)} is not there: the list of code collections is that of branch main`);
    return download(address('main'), options);
  }
}

async function download(url: string, { downloads, signal }: CodeCollectionOptions): Promise<Read> {
  try {
    const { bytes } = await downloads.getBytes(url, { maxBytes: maxFileBytes, signal });
    return { text: Buffer.from(bytes).toString('utf8'), file: url };
  } catch (error) {
    const { code, message, host, status } = toReplicationError(error);
    throw new ReplicationError(code, `the list of code collections cannot be had from ${url}: ${message}`, {
      side: 'source',
      reference: url,
      host,
      status,
      remedy: 'check --branch and --code-collections, or leave the code collections out with --no-code-collections',
      cause: error,
    });
  }
}

/** A checkout is read as it lies there; that another branch is checked out is worth a word. */
async function readLocal({ place, branch, notice }: CodeCollectionOptions): Promise<Read> {
  const path = place.startsWith('file:') ? fileURLToPath(place) : place;
  try {
    const isFolder = (await stat(path)).isDirectory();
    const file = isFolder ? join(path, fileName) : path;
    const text = await readFile(file, 'utf8');
    const head = isFolder ? await readFile(join(path, '.git', 'HEAD'), 'utf8').catch(() => '') : '';
    const checkedOut = /^ref: refs\/heads\/(.+)$/m.exec(head)?.[1];
    if (checkedOut !== undefined && checkedOut !== branch)
      notice(`${path} has branch ${checkedOut} checked out, while the images are those of branch ${branch}`);
    return { text, file };
  } catch (cause) {
    throw new ReplicationError(
      'not-found',
      `the list of code collections cannot be read: ${path}: ${fileProblem(cause)}`,
      {
        side: 'source',
        reference: path,
        remedy: `name the address, the file or a checkout with ${fileName} in it by --code-collections`,
        cause,
      },
    );
  }
}
