import { describe, expect, it } from 'vitest';
import { counted, cut, formatBytes, formatDuration, formatRate, lines, oneLine, shortened } from './format.ts';

describe('numbers for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [1_048_576, '1.05 MB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [61_240_000, '61.2 MB'],
    [2_500_000_000, '2.50 GB'],
    [-5, '0 B'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0.44, '0.4 s'],
    [5, '5 s'],
    [12.3, '12 s'],
    [59.6, '1 min 00 s'],
    [185, '3 min 05 s'],
    [3720, '1 h 02 min'],
  ])('%d seconds are %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });

  it('writes rates and counts', () => {
    expect(formatRate(61_240_000)).toBe('61.2 MB/s');
    expect([counted(1, 'image'), counted(0, 'image'), counted(1234, 'image')]).toEqual([
      '1 image',
      '0 images',
      '1,234 images',
    ]);
  });
});

describe('text', () => {
  it('shortens long lists, but not by one item', () => {
    expect(shortened(['a', 'b', 'c'], 2)).toEqual(['a', 'b', 'c']);
    expect(shortened(['a', 'b', 'c', 'd'], 2)).toEqual(['a', 'b', '… and 2 more']);
    expect(cut('abcdef', 4)).toBe('abc…');
    expect(cut('abcd', 4)).toBe('abcd');
  });

  it('takes out what would steer a terminal', () => {
    expect(oneLine('a\u001b[31mb\r\n\u0007c\u202ed\u009b2J')).toBe('ab c d');
    expect(lines('one\u001b]0;title\u0007\n\n  two\tx\u0000')).toEqual(['one', '  two  x']);
  });
});
