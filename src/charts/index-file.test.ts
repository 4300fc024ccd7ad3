import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { readIndex } from './index-file.ts';

const hex = 'ab'.repeat(32);

function read(text: string): ReturnType<typeof readIndex> {
  return readIndex(Buffer.from(text), 'https://charts.example/index.yaml');
}

const block = `apiVersion: v1
entries:
  # a comment
  redis:
  - apiVersion: v2
    description: |-
      text with a line that looks like a key:
      other:
    digest: ${hex}
    urls:
    - redis-2.0.0.tgz
    - https://elsewhere.example/redis-2.0.0.tgz
    version: 2.0.0
  - digest: sha256:${hex.toUpperCase()}
    urls: [https://cdn.example/redis-1.0.0.tgz]
    version: "1.0.0"
  - version: 0.9.0
  - null
  - urls: [x.tgz]
  "quoted-name":
    - version: 1.5
      urls: [q.tgz]
      digest: md5:abc
generated: "2024-01-01T00:00:00Z"
`;

const redis = [
  { version: '2.0.0', url: 'redis-2.0.0.tgz', sha256: hex },
  { version: '1.0.0', url: 'https://cdn.example/redis-1.0.0.tgz', sha256: hex },
];

describe('an index.yaml', () => {
  it.each([
    ['as generators write it', block],
    ['with Windows line ends', block.replaceAll('\n', '\r\n')],
    ['indented by four', block.replaceAll(/^/gm, '  ').replaceAll(/^ {2}(?=apiVersion|entries|generated)/gm, '')],
    ['with entries last and a document mark', `---\n${block}`],
  ])('gives the versions of a chart, %s', (_name, text) => {
    const index = read(text);
    expect(index.names).toEqual(['redis', 'quoted-name']);
    expect(index.entries('redis')).toEqual(redis);
    expect(index.entries('quoted-name')).toEqual([{ version: '1.5', url: 'q.tgz', sha256: undefined }]);
    expect(index.entries('absent')).toEqual([]);
    expect(index.entries('constructor')).toEqual([]);
  });

  it('is read in any other style, too', () => {
    const data = { apiVersion: 'v1', entries: { redis: [{ version: '1.0.0', urls: ['a.tgz'] }] } };
    const expected = [{ version: '1.0.0', url: 'a.tgz', sha256: undefined }];
    for (const text of [
      JSON.stringify(data),
      stringify(data, { defaultStringType: 'QUOTE_DOUBLE' }),
      'apiVersion: v1\nentries: {redis: [{version: 1.0.0, urls: [a.tgz]}]}\n',
      'apiVersion: v1\nshared: &u [a.tgz]\nentries:\n  redis:\n  - version: 1.0.0\n    urls: *u\n',
    ]) {
      expect(read(text).names).toEqual(['redis']);
      expect(read(text).entries('redis')).toEqual(expected);
    }
    expect(read('apiVersion: v1\nentries: {}\n').names).toEqual([]);
  });

  it('parses one chart of a large index only', () => {
    const broken = `apiVersion: v1\nentries:\n  good:\n  - {version: 1.0.0, urls: [a.tgz]}\n  bad:\n  - "never closed\n`;
    expect(read(broken).entries('good')).toHaveLength(1);
    expect(() => read(broken).entries('bad')).toThrow(/not the index/);
  });

  it.each([
    ['a HTML page', '<!DOCTYPE html><html><body>Sign in</body></html>', /HTML/],
    ['an empty file', '\n', /empty/],
    ['a text', 'hello world', /neither apiVersion nor entries/],
    ['an index without apiVersion', 'entries:\n  a:\n  - {version: 1.0.0, urls: [a.tgz]}\n', /no apiVersion/],
    ['broken YAML', 'apiVersion: v1\nentries: [', /not YAML/],
    ['broken JSON', '{"apiVersion": ', /not the index/],
  ])('is not %s', (_name, text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});
