import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatPath, isReachable, leaves, merge, valueAt, withSetting } from './tree.ts';

describe('values', () => {
  it('merge as helm merges: maps by key, lists and all else as a whole', () => {
    expect(merge({ a: { b: 1, c: [1, 2] }, d: 'x' }, { a: { c: [3] }, d: { e: null } })).toEqual({
      a: { b: 1, c: [3] },
      d: { e: null },
    });
  });

  it('take over a list that a setting leads into, once', () => {
    const tree = {
      list: [
        { name: 'a', image: 'x' },
        { name: 'b', image: 'y' },
      ],
    };
    const first = withSetting({}, tree, ['list', 1, 'image'], 'Y');
    expect(withSetting(first, tree, ['list', 0, 'image'], 'X')).toEqual({
      list: [
        { name: 'a', image: 'X' },
        { name: 'b', image: 'Y' },
      ],
    });
  });

  it('keep what a map that is set in had in the overrides, and nothing of the tree', () => {
    expect(withSetting({ a: { b: 1 } }, { a: { b: 0, z: 0 } }, ['a', 'c'], 'x')).toEqual({ a: { b: 1, c: 'x' } });
  });

  it('have paths that can be set, and paths that lead through a text', () => {
    const tree = { a: 'text', b: null, c: [{}] };
    expect(isReachable(tree, ['a', 'x'])).toBe(false);
    expect(isReachable(tree, ['b', 'x', 'y'])).toBe(true);
    expect(isReachable(tree, ['c', 0, 'x'])).toBe(true);
    expect(isReachable(tree, ['c', 'x'])).toBe(false);
  });

  it('write paths as people read them', () => {
    expect(formatPath(['a', 0, 'b-c', 'd'])).toBe('a[0].b-c.d');
  });

  it('read back at every leaf what was set there', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.jsonValue({ maxDepth: 4 })), (written) => {
        const tree = JSON.parse(JSON.stringify(written)) as Parameters<typeof merge>[0]; // JSON again: no -0
        for (const { path } of leaves(tree)) {
          const set = merge(tree, withSetting({}, tree, path, 'mark'));
          expect(valueAt(set, path)).toBe('mark');
        }
      }),
      { numRuns: 100 },
    );
  });
});
