import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { settingsForKey } from './helm-key.ts';
import { keyedValues } from './keyed-values.ts';
import type { ListedImage } from './listed-image.ts';
import { updatedValues } from './updated-values.ts';

const image = { registry: 'ecr.example.com', repository: 'p/x', tag: '1.10' };
const name = 'ecr.example.com/p/x';

describe('a helm key', () => {
  it.each([
    ['runnerImage', { runnerImage: 'quay.io/a/x:1' }, { runnerImage: `${name}:1.10` }],
    [
      'runner',
      { runner: { image: { registry: '', repository: '', tag: '' } } },
      { 'runner.image.registry': 'ecr.example.com', 'runner.image.repository': 'p/x', 'runner.image.tag': '1.10' },
    ],
    [
      'runner.image',
      { runner: { image: { repository: 'a' } } },
      { 'runner.image.repository': name, 'runner.image.tag': '1.10' },
    ],
    ['a/b', { a: { b: 'x:1' } }, { 'a.b': `${name}:1.10` }],
    [
      'opentelemetry/collector',
      { 'opentelemetry-collector': { image: { repository: 'o', digest: 'sha256:1' } } },
      {
        'opentelemetry-collector.image.repository': name,
        'opentelemetry-collector.image.tag': '1.10',
        'opentelemetry-collector.image.digest': '',
      },
    ],
    ['queue.image', { queue: { image: 'a/queue', tag: '1' } }, { 'queue.image': name, 'queue.tag': '1.10' }],
    ['runner', { runner: { enabled: true } }, { 'runner.image.repository': name, 'runner.image.tag': '1.10' }],
  ] as const)('%s in %j', (key, values, expected) => {
    const settings = settingsForKey(key, image, values);
    expect(Object.fromEntries((settings ?? []).map(({ path, value }) => [path.join('.'), value]))).toEqual(expected);
  });

  it('that the values do not have gives nothing', () => {
    expect(settingsForKey('nothing.here', image, { a: 1 })).toBeUndefined();
  });

  it('is given to the first image that wants it, and to one that the user names before all', () => {
    const listed = (source: string, helmKeyIs: ListedImage['helmKeyIs']): ListedImage => ({
      source,
      destination: undefined,
      destinationTag: undefined,
      helmKey: 'run',
      helmKeyIs,
      untagged: 'newest',
      from: 'code collections',
      origin: { path: 'list' },
    });
    const all = ['a', 'b', 'c'].map((each) => ({
      image: listed(each, each === 'c' ? 'asked' : 'usual'),
      target: `h/p/${each}:1`,
    }));
    const { settings, notices } = keyedValues(all, { run: 'old' });
    expect(settings).toEqual([{ path: ['run'], value: 'h/p/c:1' }]);
    expect(notices).toHaveLength(2);
    expect(notices[0]).toContain('the helm key run names c, so a is copied');
  });
});

describe('updated values', () => {
  const update = (text: string, settings: Parameters<typeof updatedValues>[1], effective = {}) =>
    updatedValues([{ path: 'values.yaml', text }], settings, effective);

  it('keep comments, order, blank lines and the way in which things are written', () => {
    const text = `# top\nb: 'yes' # why\n\na:\n  image: old # here\n  on: yes\n  list: [1, 2]\n`;
    expect(update(text, [{ path: ['a', 'image'], value: 'new:1' }])).toBe(text.replace('image: old', 'image: new:1'));
  });

  it('write a tag that looks like a number as text', () => {
    expect(parse(update('a: {tag: 1.9}\n', [{ path: ['a', 'tag'], value: '1.10' }]))).toEqual({ a: { tag: '1.10' } });
    expect(parse(update('', [{ path: ['tag'], value: '20240115103000' }]))).toEqual({ tag: '20240115103000' });
  });

  it('make room where a path is missing, null or a text, and for whole lists of the chart', () => {
    const effective = { jobs: [{ image: 'a', on: true }, { image: 'b' }] };
    const text = update(
      'a:\nb: text\n',
      [
        { path: ['a', 'x'], value: '1a' },
        { path: ['b', 'y'], value: '2b' },
        { path: ['jobs', 1, 'image'], value: 'c' },
      ],
      effective,
    );
    expect(parse(text)).toEqual({ a: { x: '1a' }, b: { y: '2b' }, jobs: [{ image: 'a', on: true }, { image: 'c' }] });
  });

  it('do not change at another place what an anchor shares, nor lose what a merge key brings', () => {
    const text = 'base: &base\n  image: {name: x, tag: t1}\n  n: 1\none: *base\ntwo:\n  <<: *base\n  n: 2\n';
    const after: unknown = parse(update(text, [{ path: ['two', 'image', 'tag'], value: 't2' }]));
    const base = { image: { name: 'x', tag: 't1' }, n: 1 };
    expect(after).toEqual({ base, one: base, two: { n: 2, image: { name: 'x', tag: 't2' } } });
  });

  it('stand alone when there are several files: later ones go over the first', () => {
    const text = updatedValues(
      [
        { path: 'a.yaml', text: '# a\nx:\n  y: 1 # one\n  z: 1\nl: [1]\n' },
        { path: 'b.yaml', text: 'x: {z: 2}\nl: [2, 3]\n' },
      ],
      [],
      {},
    );
    expect(parse(text)).toEqual({ x: { y: 1, z: 2 }, l: [2, 3] });
    expect(text).toContain('y: 1 # one');
  });

  it.each([
    ['a: [', /^values\.yaml:\d+: is no valid YAML/],
    ['- a\n', /^values\.yaml: values are a map/],
  ])('refuse %j', (text, message) => {
    expect(() => update(text, [])).toThrow(message);
  });
});
