import { describe, expect, it } from 'vitest';
import { compareRenders, labelLinesWith, noiseOf } from './sameness.ts';

const document = (more: string): string => `---\n# Source: web/templates/a.yaml\nkind: Pod\n${more}\n`;
const masks = new Map([['P-quay.io/a:1', 'quay.io/a:1']]);
const values = new Map([['P-quay.io', 'quay.io']]);
const compare = (before: string, after: string): ReturnType<typeof compareRenders> =>
  compareRenders(document(before), document(after), masks, values, 'default');

describe('two renders', () => {
  it('are the same but for references', () => {
    expect(compare('image: quay.io/a:1', 'image: P-quay.io/a:1')).toEqual({ derived: [], unexplained: [] });
  });

  it('differ by checksums and by the value itself, which is told', () => {
    const sum = (digit: string): string => `checksum/config: ${digit.repeat(64)}`;
    expect(compare(sum('1'), sum('2')).derived).toMatchObject([{ kind: 'checksum', template: 'web/templates/a.yaml' }]);
    expect(compare('registry: quay.io', 'registry: P-quay.io').derived).toMatchObject([{ kind: 'value' }]);
  });

  it('differ for no known reason: other texts, lines more or less, documents, labels', () => {
    for (const [before, after] of [
      ['replicas: 1', 'replicas: 2'],
      ['a: 1', 'a: 1\nb: 2'],
      ['a: 1', 'a: 1\n---\n# Source: web/templates/b.yaml\nb: 2'],
      ['labels:\n  from: quay.io', 'labels:\n  from: P-quay.io'],
    ] as const) {
      expect(compare(before, after).unexplained, after).not.toEqual([]);
    }
  });

  it('have the noise of the chart, by line', () => {
    const isNoise = noiseOf(document('password: abc\na: 1'), document('password: xyz\na: 1'));
    const [difference] = compare('password: abc\na: 1', 'password: foo\na: 1').unexplained;
    const [other] = compare('password: abc\na: 1', 'password: abc\na: 2').unexplained;
    expect(difference && isNoise(difference)).toBe(true);
    expect(other && isNoise(other)).toBe(false);
  });

  it('know lines in labels from others', () => {
    const text = document('metadata:\n  labels:\n    a: mark\n  annotations:\n    b: mark\nspec:\n  image: mark');
    expect(labelLinesWith(text, 'mark')).toEqual(['a: mark']);
  });
});
