import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { resultMetadata, writeModuleMetadata } from './metadata.ts';

describe('module metadata', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-metadata-'));
    file = join(folder, 'SEEDFARMER_MODULE_METADATA');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const written = async (): Promise<unknown> => JSON.parse(await readFile(file, 'utf8'));

  it('names the object in both spellings', () => {
    expect(resultMetadata('b', 'o.json')).toEqual({
      S3Bucket: 'b',
      S3Object: 'o.json',
      S3FullPath: 'b/o.json',
      s3_bucket: 'b',
      s3_object: 'o.json',
      s3_full_path: 'b/o.json',
    });
  });

  it('merges environment, file and new values, the later winning', async () => {
    await writeFile(file, '{"b":"file","c":"file"}');
    await writeModuleMetadata(file, '{"a":"env","b":"env","c":"env"}', { c: 'new', IsolationGap: 2 });
    expect(await written()).toEqual({ a: 'env', b: 'file', c: 'new', IsolationGap: 2 });
  });

  it.each([
    ['null', {}],
    [undefined, {}],
    ['', {}],
    ["{'a': 'env'}", { a: 'env' }],
    ['{broken', {}],
    ['[1]', {}],
  ])('starts from the environment %s', async (carried, expected) => {
    await writeModuleMetadata(file, carried, { x: 'new' });
    expect(await written()).toEqual({ ...expected, x: 'new' });
  });

  it('starts anew when the file is no JSON, as the CLI does', async () => {
    await writeFile(file, 'not json');
    await writeModuleMetadata(file, undefined, { x: 'new' });
    expect(await written()).toEqual({ x: 'new' });
  });

  it.each(['two words', 'a*', 'what?', '[x]', 'tab\there'])(
    'refuses the value %j, which the shell would spoil',
    async (value) => {
      expect((await refusal(writeModuleMetadata(file, undefined, { x: value }))).message).toContain('metadata x');
    },
  );
});
