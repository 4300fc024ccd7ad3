import { describe, expect, it } from 'vitest';
import { formatResult, formatUpdatedImages, maxResultBytes, type ReplicationResult } from './result.ts';

const helm = { name: 'a', version: '1', repository: 'oci://r/p-s/a', srcRepository: 'https://x/s' };

function resultWith(values: Readonly<Record<string, string>>): ReplicationResult {
  return {
    additional_images: { x: 'r/p-x' },
    charts: { b: { helm, values: {} }, a: { helm, values } },
    ami: { version: '1' },
  };
}

describe('the result as it is written', () => {
  it('has ami, charts and additional_images in this order, charts as they come', () => {
    const text = formatResult(resultWith({ image: 'r/p-a' }));
    const parsed: unknown = JSON.parse(text);
    expect(parsed).toEqual(resultWith({ image: 'r/p-a' }));
    expect(Object.keys(parsed ?? {})).toEqual(['ami', 'charts', 'additional_images']);
    expect(text).toMatch(/"b": \{[^]*"a": \{/);
    expect(text).toMatch(/^\{\n {4}"ami"/);
  });

  it('is compact when only that fits the environment variable of the consumer, and refused when nothing does', () => {
    const many = (count: number): Readonly<Record<string, string>> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`key${index}`, 'x'.repeat(20)]));
    const compact = formatResult(resultWith(many(2800)));
    expect(compact.split('\n')).toHaveLength(2);
    expect(Buffer.byteLength(compact)).toBeLessThan(maxResultBytes);
    expect(JSON.parse(compact)).toEqual(resultWith(many(2800)));
    expect(() => formatResult(resultWith(many(4000)))).toThrow(/the result has \d+ bytes, 102400 are the most/);
  });

  it('lists updated images', () => {
    const images = [{ src: 'a', target: 'b' }];
    expect(JSON.parse(formatUpdatedImages(images))).toEqual(images);
  });
});
