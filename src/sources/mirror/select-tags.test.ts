import { describe, expect, it } from 'vitest';
import { selectTags } from './select-tags.ts';

const tags = [
  'latest',
  '1',
  '1.2',
  '1.2.9',
  'v1.2.10',
  '1.2.10',
  '1.10.0',
  '1.11.0-rc.1',
  '2.0.0',
  '1.2.10-alpine',
  'x',
];

describe('selectTags', () => {
  it('takes the newest versions of a range, each once, moving names and pre-releases left out', () => {
    const range = { kind: 'semver', range: '^1.2', keep: 3 } as const;
    expect(selectTags(range, tags)).toEqual(['1.10.0', '1.2.10', '1.2.9']);
    expect(selectTags({ ...range, keep: 1 }, tags)).toEqual(['1.10.0']);
    expect(selectTags({ ...range, range: '>=1.11.0-rc.0 <2', keep: 1 }, tags)).toEqual(['1.11.0-rc.1']);
    expect(selectTags({ ...range, range: '>=3' }, tags)).toEqual([]);
  });

  it('takes short versions where there are no full ones', () => {
    const available = ['20.04', '22.04', '24.04', '24.10', 'noble'];
    expect(selectTags({ kind: 'semver', range: '>=22', keep: 2 }, available)).toEqual(['24.10', '24.04']);
  });

  it('matches patterns whole, and orders versions, dates and the rest by their numbers', () => {
    const pattern = (text: string, keep = 9) => ({ kind: 'pattern', pattern: text, keep }) as const;
    expect(selectTags(pattern('1.2.*'), tags)).toEqual(['1.2.10', '1.2.10-alpine', '1.2.9']);
    expect(selectTags(pattern('*-alpine'), tags)).toEqual(['1.2.10-alpine']);
    expect(selectTags(pattern('1.?'), tags)).toEqual(['1.2']);
    const dates = ['2026-9-30', '2026-10-01', '2025-12-31', 'main-5'];
    expect(selectTags(pattern('/\\d+-\\d+-\\d+/', 2), dates)).toEqual(['2026-10-01', '2026-9-30']);
    const builds = ['main-9', 'main-10', 'main-10-fix', 'main-2'];
    expect(selectTags(pattern('main-*', 2), builds)).toEqual(['main-10-fix', 'main-10']);
  });

  it('keeps listed tags as they are', () => {
    expect(selectTags({ kind: 'listed', tags: ['b', 'a'] }, [])).toEqual(['b', 'a']);
  });
});
