import { describe, expect, it } from 'vitest';
import { rewriteChartYaml } from './chart-yaml.ts';

const head = 'apiVersion: v2\nname: web\n';

describe('a Chart.yaml with another version', () => {
  it.each([
    ['no annotations', `# first\n${head}version: 1.2.3 # mine\nappVersion: 1.10\n`],
    ['annotations', `${head}version: "1.2.3"\nannotations:\n    a: b\n    c: |\n      long\n`],
    ['annotations in one line', `${head}annotations: {a: b}\nversion: 1.2.3\n`],
    ['empty annotations', `${head}annotations:\nversion: v1.2.3\ndependencies:\n- {name: x, version: 1.x}\n`],
    ['windows line ends', `${head}version: 1.2.3\nannotations:\n  a: b\n`.replaceAll('\n', '\r\n')],
    ['several documents', `---\n${head}version: 1.2.3\n`],
  ])('keeps everything else: %s', (_, text) => {
    const after = rewriteChartYaml(text, '1.2.3+isolated.00000000', { 'x/y': 'two\nlines: "quoted"', z: 'é' });
    expect(after).toContain('version: "1.2.3+isolated.00000000"');
    for (const line of text.split(/\r?\n/).filter((each) => !/version:|annotations/.test(each)))
      expect(after).toContain(line);
  });

  it.each([
    ['a list', '- a\n'],
    ['annotations that are no map', `${head}version: 1.2.3\nannotations: text\n`],
    ['a broken file', `${head}version: 1.2.3\n a: [\n`],
  ])('refuses %s', (_, text) => {
    expect(() => rewriteChartYaml(text, '1', {})).toThrow(/cannot be changed safely|not valid|not YAML/);
  });
});
