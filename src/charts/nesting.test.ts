import { describe, expect, it } from 'vitest';
import { parseHelmYaml } from './helm-yaml.ts';
import { isTooDeep } from './nesting.ts';
import { readObjects } from './remedies/objects.ts';

const bombs: Readonly<Record<string, string>> = {
  lists: `a: ${'['.repeat(20_000)}`,
  'lists that end': '['.repeat(20_000) + ']'.repeat(20_000),
  maps: '{a: '.repeat(20_000),
  'maps on lines of their own': 'a: {\n'.repeat(20_000),
  JSON: '{"a":['.repeat(20_000),
  dashes: '- '.repeat(20_000),
  indentation: Array.from({ length: 3_000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
};

describe('a text that nests without end', () => {
  it.each(Object.entries(bombs))('is refused instead of ending the process: %s', (_, text) => {
    expect(isTooDeep(text)).toBe(true);
    expect(() => parseHelmYaml(text, 'values.yaml of the chart web')).toThrow(
      expect.objectContaining({
        code: 'refused',
        message: 'values.yaml of the chart web nests more than 500 levels deep',
      }),
    );
    expect(readObjects(`---\n# Source: web/templates/a.yaml\n${text}\n`)).toEqual({
      objects: [],
      problem: 'web/templates/a.yaml: it nests too deep',
    });
  });

  it('is not one with as many brackets in its strings and comments', () => {
    const lines = Array.from(
      { length: 1_000 },
      (_, at) => `a${at}: "an [open one"\nb${at}: plain [ and {\nc${at}: |\n  [\nd${at}: 'x[' # {\n`,
    );
    const read = parseHelmYaml(lines.join(''), 'x');
    expect(read).toMatchObject({ a999: 'an [open one', b999: 'plain [ and {', c999: '[\n', d999: 'x[' });
  });

  it('is not one of many levels one after the other', () => {
    expect(isTooDeep('- [[{a: [1]}]]\n'.repeat(2_000))).toBe(false);
    expect(parseHelmYaml(`${'['.repeat(400)}${']'.repeat(400)}`, 'x')).toBeInstanceOf(Array);
  });
});
