import { expect, it } from 'vitest';
import { parseSize } from './size.ts';

it.each([
  ['0', 0],
  ['1000000', 1e6],
  ['12B', 12],
  ['500MB', 5e8],
  ['500mb', 5e8],
  ['4GiB', 4 * 2 ** 30],
  ['4 GiB', 4 * 2 ** 30],
  ['8Gi', 8 * 2 ** 30],
  ['1.5Ti', 1.5 * 2 ** 40],
  ['1.5k', 1500],
  ['0.1KiB', 102],
])('the size %s is %d bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

it.each(['', 'lots', '-1', '4iB', '4 G B', '1e9', '.5G', '4XB', '9999999T', '4GiB '])('"%s" is no size', (text) => {
  expect(() => parseSize(text)).toThrow(`"${text}" is no size`);
});
