import { describe, expect, it } from 'vitest';
import { isDigest } from '../../model/digest.ts';
import { parseReference } from '../../model/reference.ts';
import { splitAt } from './candidates.ts';
import { replaceAll } from './probe.ts';
import { sentinels } from './sentinel.ts';
import { templateKeys } from './template-keys.ts';

const prefix = 'registry.example:5000/demo-';
const marks = sentinels(prefix, ['nothing of the kind']);

describe('marks', () => {
  it('are found at the beginning and inside, and leave what was there', () => {
    const text = `${marks.mark(3)}/quay.io/${marks.mark(12)}/a/b:1`;
    expect(marks.leading(text)).toEqual({ id: 3, rest: `/quay.io/${marks.mark(12)}/a/b:1` });
    expect(marks.within(text)).toEqual([3, 12]);
    expect(marks.without(text)).toBe('quay.io/a/b:1');
    expect(marks.readable(text)).toBe(`${prefix}…/quay.io/${prefix}…/a/b:1`);
    expect(marks.leading(`x${text}`)).toBeUndefined();
  });

  it('are valid parts of references, and valid digests', () => {
    expect(parseReference(`${marks.mark(0)}/a/b:1`).repository).toContain('demo-s');
    expect(isDigest(`sha256:${marks.markHex(9999)}`)).toBe(true);
    expect(marks.withinHex(`x@sha256:${marks.markHex(42)} sha256:${'0'.repeat(64)}`)).toEqual([42]);
  });

  it('are others where a chart happens to write the same', () => {
    expect(sentinels(prefix, [marks.mark(1)]).within(marks.mark(1))).toEqual([]);
  });
});

describe('references inside of texts', () => {
  it('are no parts of longer ones', () => {
    expect(splitAt('a=quay.io/a/b:1,quay.io/a/b:12 x/quay.io/a/b:1', 'quay.io/a/b:1')).toEqual([
      'a=',
      ',quay.io/a/b:12 x/quay.io/a/b:1',
    ]);
    expect(replaceAll('a:1 a:1@x b:2', ['a:1', 'b:2'], (each) => `P/${each}`)).toBe('P/a:1 a:1@x P/b:2');
  });
});

describe('what templates read', () => {
  it('is found with subchart keys, parentheses, index and global', () => {
    const text =
      '{{ (.Values.global).imageRegistry }} {{- index .Values "a-b" "image" -}} {{ $.Values.x.y }} .Values.no';
    const paths = templateKeys([{ at: ['sub'], text }]).paths.map((path) => path.join('.'));
    expect(paths).toEqual(expect.arrayContaining(['global.imageRegistry', 'sub.a-b.image', 'sub.x.y']));
    expect(paths).not.toContain('sub.no');
  });
});
