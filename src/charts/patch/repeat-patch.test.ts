import { describe, expect, it } from 'vitest';
import { refusal } from '../../../test/refusal.ts';
import { digestOf } from '../../model/digest.ts';
import { readChart } from '../chart.ts';
import { chartOf } from '../test-support.ts';
import { openChart, textsOf } from './chart-tree.ts';
import { changedTexts, diffOf } from './diff.ts';
import { repeatPatch } from './repeat-patch.ts';

const sub = chartOf('sub', '0.1.0', { 'templates/a.yaml': 'one\nimage: quay.io/sub:1\r\nthree' });
const archive = chartOf('web', '1.2.3', {
  'templates/a.yaml': 'image: quay.io/a:1\n--- a/x\nimage: quay.io/a:1',
  'charts/sub.tgz': sub,
});

async function patchOf(change: (text: string) => string): Promise<string> {
  const texts = textsOf(await openChart(archive));
  const changed = [...texts].map(([path, text]) => [path, change(text)] as const);
  const after = new Map(changed.filter(([path, text]) => text !== texts.get(path)));
  return `# web 1.2.3, archive ${digestOf(archive)}\n${diffOf(texts, after)}`;
}

describe('a patch that is repeated', () => {
  it('changes exactly the lines that it names, in packed subcharts too', async () => {
    const patch = await patchOf((text) => text.replaceAll('quay.io/', 'private.example.com/quay.io/'));
    const { archive: patched, digest, version } = await repeatPatch(archive, patch);
    expect(version).toMatch(/^1\.2\.3\+isolated\.[0-9a-f]{8}$/);
    expect(digest).toBe(digestOf(patched));
    expect((await readChart(patched)).version).toBe(version);
    const texts = textsOf(await openChart(patched));
    expect(texts.get('web/templates/a.yaml')).toBe(
      'image: private.example.com/quay.io/a:1\n--- a/x\nimage: private.example.com/quay.io/a:1',
    );
    expect(texts.get('web/charts/sub.tgz!/sub/templates/a.yaml')).toBe(
      'one\nimage: private.example.com/quay.io/sub:1\r\nthree',
    );
    expect((await repeatPatch(archive, patch)).digest).toBe(digest);
  });

  it.each([
    ['has another line there', (patch: string) => patch.replaceAll('-image: quay.io/a', '-image: quay.io/b')],
    ['has no such line', (patch: string) => patch.replace('@@ -1 +1 @@', '@@ -9 +9 @@')],
    ['has no such file', (patch: string) => patch.replaceAll('templates/a.yaml', 'templates/b.yaml')],
    ['is not changed by it', (patch: string) => patch.split('\n').slice(0, 1).join('\n')],
    ['is named by a damaged one', (patch: string) => patch.replace('+image', ' image')],
  ])('is refused for a chart that %s', async (_, damage) => {
    const patch = damage(await patchOf((text) => text.replaceAll('quay.io/a', 'private.example.com/a')));
    const error = await refusal(repeatPatch(archive, patch));
    expect(error).toMatchObject({ code: 'corrupt', reference: 'web 1.2.3' });
  });

  it('is nothing for texts that it does not name', () => {
    expect(changedTexts(new Map([['a', 'x']]), '')).toBeUndefined();
  });
});
