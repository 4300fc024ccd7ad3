import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { editDistance, nearest } from './nearest.ts';

describe('the nearest word', () => {
  it('is the one that is most likely meant', () => {
    expect(nearest('imges', ['name', 'images', 'version'])).toBe('images');
    expect(nearest('image.Repository', ['image.registry', 'image.repository'])).toBe('image.repository');
    expect(nearest('ab', ['ac', 'aa'])).toBe('aa');
    expect(nearest('x', ['abc'])).toBeUndefined();
    expect(nearest('x', [])).toBeUndefined();
  });

  it('is measured by a metric', () => {
    const word = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(word, word, word, (a, b, c) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});
