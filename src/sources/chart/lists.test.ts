import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReplicationErrors } from '../../model/errors.ts';
import { parseExtraImages } from './extra-images.ts';
import { parseStaticList, readStaticList } from './static-lists.ts';

function messagesOf(work: () => unknown): readonly string[] {
  try {
    work();
  } catch (error) {
    if (error instanceof ReplicationErrors) return error.errors.map(({ message }) => message);
    if (error instanceof Error) return [error.message];
  }
  throw new Error('nothing was thrown');
}

describe('extra images', () => {
  const parse = (...lines: readonly string[]) => parseExtraImages(lines.join('\n'), 'extra.txt', 'ecr.example.com');

  it('have a destination and a helm key where the line names them', () => {
    const found = parse(
      '\uFEFF# tools',
      'nginx',
      'quay.io/a/b:1 team/b',
      'quay.io/a/c:1 - runner.image # key',
      'quay.io/a/d:1 ecr.example.com/team/d:2 helm_key=opentelemetry/collector',
    );
    expect(
      found.map(({ source, destination, destinationTag, helmKey }) => [source, destination, destinationTag, helmKey]),
    ).toEqual([
      ['nginx', undefined, undefined, undefined],
      ['quay.io/a/b:1', 'team/b', undefined, undefined],
      ['quay.io/a/c:1', undefined, undefined, 'runner.image'],
      ['quay.io/a/d:1', 'team/d', '2', 'opentelemetry/collector'],
    ]);
    expect(found[2]?.origin).toEqual({ path: 'extra.txt:4', file: 'extra.txt', line: 4 });
  });

  it('are refused with every wrong line: a doubled tag, another registry, too many words, no reference', () => {
    expect(messagesOf(() => parse('a/b:1:1', 'a/b:1 ghcr.io/x/y', 'a/b - k.v more', 'A B', 'a/b - k..v'))).toEqual([
      'extra.txt:1: "a/b:1:1" has two tags, 1 and 1',
      'extra.txt:2: the destination "ghcr.io/x/y" is at ghcr.io, and everything goes to ecr.example.com',
      'extra.txt:3: "more" is one word too many',
      expect.stringContaining('extra.txt:4: "A" is not an image reference'),
      'extra.txt:5: "k..v" is no helm key',
    ]);
  });
});

describe('static lists', () => {
  let folder: string;
  beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'lists-'))));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const parse = (text: string, name = 'list.json') => parseStaticList(text, name, 'static images', 'my/prefix');

  it('take destinations without a prefix where there is none', () => {
    const text = '[{"repository_image": "a/b", "destination": "{prefix}/runner"}]';
    const [image] = parseStaticList(text, 'list.json', 'static images', '');
    expect(image?.destination).toBe('runner');
  });

  it('that are shipped are those of the document, with the prefix in the destinations', async () => {
    const { chartDataFiles } = await import('../../cli/chart-settings.ts');
    const images = await readStaticList(chartDataFiles.images, 'static images', 'test-rwl-runwhen');
    expect(images.map(({ source, destination, helmKey }) => [source, destination, helmKey])).toEqual([
      ['ghcr.io/runwhen-contrib/runwhen-local', 'test-rwl-runwhen/runwhen-local', 'runwhenLocal'],
      ['us-docker.pkg.dev/runwhen-nonprod-shared/public-images/runner', 'test-rwl-runwhen/runner', 'runner'],
      ['docker.io/otel/opentelemetry-collector', 'test-rwl-runwhen/opentelemetry-collector', 'opentelemetry/collector'],
    ]);
    const [collection] = await readStaticList(chartDataFiles.codeCollections, 'static code collections', 'p');
    expect(collection).toMatchObject({
      source: 'us-west1-docker.pkg.dev/runwhen-nonprod-beta/public-images/runwhen-contrib-rw-cli-codecollection-main',
      destination: 'p/runwhen-contrib-rw-cli-codecollection-main',
      helmKey: 'runner.runEnvironment',
      untagged: 'newest',
    });
  });

  it('may be JSON or YAML, with a tag', async () => {
    const path = join(folder, 'list.yaml');
    await writeFile(path, '- repository_image: quay.io/a/b\n  tag: "1.10"\n');
    expect(await readStaticList(path, 'static images', 'p')).toMatchObject([
      { source: 'quay.io/a/b:1.10', destination: undefined },
    ]);
  });

  it.each([
    ['[\n  {"repository_image": "a/b"},\n]', 'list.json:3: is no valid JSON'],
    ['[{"repository_image": "a/b:1:1"}]', 'list.json:1: 0.repository_image: "a/b:1:1" has two tags'],
    [
      '[\n{"repository_image": "a/b",\n"helm-key": "x"}]',
      'list.json:3: 0.helm-key: unknown key (nearest known key: "helm_key")',
    ],
    ['[{"destination": "x"}]', 'list.json:1: 0.repository_image: is missing'],
    ['[{"repository_image": "a/b", "helm_key": "x..y"}]', 'is no path in the values'],
    ['[{"repository_image": "a/b", "destination": "Upper/x"}]', '"Upper/x" is no destination'],
    ['{}', 'expected a list, found a map'],
  ])('are refused: %s', (text, message) => {
    expect(messagesOf(() => parse(text)).join('\n')).toContain(message);
  });
});
