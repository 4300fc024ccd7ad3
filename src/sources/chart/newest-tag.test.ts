import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseNewest } from './newest-tag.ts';

describe('chooseNewest', () => {
  it.each([
    [['1.9.0', '1.10.0', '1.2.0'], '1.10.0'],
    [['v1.9', 'v1.10.1-rc.1', 'v1.10'], 'v1.10'],
    [['1', '1.25', '1.25.0', 'latest'], '1.25.0'],
    [['1.25.3-alpine', '1.25.2'], '1.25.2'],
    [['2.0.0-rc.2', '2.0.0-rc.10'], '2.0.0-rc.10'],
    [['20240115103000', '20240115', '20231231235959'], '20240115103000'],
    [['2024-01-15.9', '2024-01-15.10'], '2024-01-15.10'],
    [['RELEASE.2024-01-16T16-07-38Z', 'RELEASE.2023-11-20T22-40-07Z'], 'RELEASE.2024-01-16T16-07-38Z'],
    [['main-20240301', 'main-20240215-6b40e56'], 'main-20240301'],
    [['nightly-20990101', '1.0.0'], '1.0.0'],
    [['20240115', '2.0.0-rc.1'], '20240115'],
  ])('of %j takes %s', (tags, newest) => {
    expect(chooseNewest(tags).newest).toBe(newest);
  });

  it('says nothing of tags whose text says nothing, of signatures, and of latest', () => {
    const signature = `sha256-${'0'.repeat(64)}.sig`;
    expect(chooseNewest(['pr-21-6b40e56', '1234567', 'tester', 'latest', signature])).toEqual({
      newest: undefined,
      undated: ['pr-21-6b40e56', '1234567', 'tester'],
      hasLatest: true,
    });
  });

  it('takes the highest version whatever the order of the tags', () => {
    const version = fc.tuple(fc.nat(30), fc.nat(30), fc.nat(30));
    fc.assert(
      fc.property(fc.uniqueArray(version, { minLength: 1, selector: String }), (versions) => {
        const highest = [...versions].sort((a, b) => b[0] - a[0] || b[1] - a[1] || b[2] - a[2])[0] ?? [0, 0, 0];
        expect(chooseNewest(versions.map((each) => each.join('.'))).newest).toBe(highest.join('.'));
      }),
    );
  });
});
