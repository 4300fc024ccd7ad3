import { constants } from 'node:fs';
import { access, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { ReplicationError } from '../model/errors.ts';
import { isMissingFile, makeFolder, replaceFile, unfinishedPrefix } from './files.ts';
import { type Edit, LayoutIndex } from './layout-index.ts';

const headerName = 'oci-layout';
const LayoutHeader = z.looseObject({ imageLayoutVersion: z.string() });

/** Makes a folder ready to be used as image layout, or says why it cannot be. @throws as `openOciLayout` */
export async function prepareLayout(directory: string, create: boolean): Promise<void> {
  const absent = (cause?: unknown): ReplicationError =>
    new ReplicationError('not-found', `there is no OCI image layout in ${directory}`, { reference: directory, cause });
  if (create) await makeFolder(directory);
  const files = await readdir(directory).catch((error: unknown) => {
    throw isMissingFile(error) ? absent(error) : error;
  });
  if (files.includes(headerName)) await checkHeader(path.join(directory, headerName));
  else if (!create) throw absent();
  else if (files.some((file) => !file.startsWith(unfinishedPrefix))) {
    throw new ReplicationError('configuration', `${directory} is not empty and no OCI image layout`, {
      reference: directory,
      remedy: 'name an empty or new folder, or an existing image layout',
    });
  }
  if (!create) return;
  await access(directory, constants.W_OK);
  await removeAbandoned(directory, files);
  await mkdir(path.join(directory, 'blobs', 'sha256'), { recursive: true });
  if (!files.includes(headerName)) await replaceFile(directory, headerName, '{"imageLayoutVersion":"1.0.0"}');
  if (!files.includes('index.json')) await new LayoutIndex(directory).change(noEdit);
}

const noEdit: Edit = { repository: '', set: new Map(), remove: [] };

async function checkHeader(file: string): Promise<void> {
  let json: unknown;
  const text = await readFile(file, 'utf8');
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  const header = LayoutHeader.safeParse(json);
  if (!header.success) throw new ReplicationError('corrupt', `${file} names no layout version`, { reference: file });
  if (!/^1\./.test(header.data.imageLayoutVersion)) {
    throw new ReplicationError('unsupported', `${file}: image layout version ${header.data.imageLayoutVersion}`, {
      reference: file,
      remedy: 'this program knows version 1.0.0',
    });
  }
}

/** Files of a run that was killed. One that is still written to is never an hour old. */
async function removeAbandoned(directory: string, files: readonly string[]): Promise<void> {
  for (const name of files.filter((file) => file.startsWith(unfinishedPrefix))) {
    const file = path.join(directory, name);
    const found = await stat(file).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > 3_600_000) await rm(file, { force: true });
  }
}
