import { describe, expect, it } from 'vitest';
import { discover } from '../discovery/discover.ts';
import { compareRenders } from '../overrides/sameness.ts';
import { joinReleases } from './releases.ts';
import type { RenderOutcome } from './port.ts';
import { releasesIn, splitRender } from './split.ts';

const pod = (template: string, image: string): string =>
  `---\n# Source: web/templates/${template}.yaml\nkind: Pod\nspec:\n  containers:\n    - image: ${image}\n`;
const rendered = (text: string): RenderOutcome => ({ kind: 'rendered', text, crds: 'crds', warnings: [], seconds: 1 });
const refused: RenderOutcome = {
  kind: 'refused',
  refusal: { kind: 'fail', message: 'no', template: 'web/templates/a.yaml', line: 2, values: [] },
  seconds: 2,
};
const textOf = (outcome: RenderOutcome): string => (outcome.kind === 'rendered' ? outcome.text : '');

const install = pod('a', 'quay.io/a:1');
const upgrade = `${pod('a', 'quay.io/a:1')}${pod('b', 'quay.io/b:2')}`;

describe('renders of an install and of an upgrade', () => {
  it('stand behind each other, each with the lines of its own render, and can be taken apart', () => {
    const text = textOf(joinReleases(rendered(install), rendered(upgrade)));
    expect(splitRender(text).map(({ template, isUpgrade, firstLine }) => [template, isUpgrade, firstLine])).toEqual([
      ['web/templates/a.yaml', undefined, 1],
      ['web/templates/a.yaml', true, 1],
      ['web/templates/b.yaml', true, 1],
    ]);
    expect(discover(text).references.map(({ text: image, place }) => [image, place.isUpgrade, place.line])).toEqual([
      ['quay.io/a:1', undefined, 4],
      ['quay.io/a:1', true, 4],
      ['quay.io/b:2', true, 4],
    ]);
    const [first, second] = releasesIn(text);
    expect(first).toBe(install);
    expect(splitRender(second ?? '')).toHaveLength(2);
    expect(releasesIn(install)).toEqual([install]);
  });

  it('are compared with their own kind', () => {
    const before = textOf(joinReleases(rendered(install), rendered(upgrade)));
    const after = textOf(joinReleases(rendered(`${install}${pod('a', 'quay.io/new:1')}`), rendered(upgrade)));
    const { derived, unexplained } = compareRenders(before, after, new Map(), new Map(), 'default');
    expect(derived).toEqual([]);
    expect(unexplained).toMatchObject([{ template: 'web/templates/a.yaml', before: '' }]);
  });

  it('add up what they cost, and say which of them helm refuses', () => {
    expect(joinReleases(rendered(install), rendered(upgrade))).toMatchObject({ seconds: 2, renders: 2, crds: 'crds' });
    expect(joinReleases(rendered(install), refused)).toMatchObject({
      kind: 'rendered',
      text: install,
      upgradeRefusal: { message: 'no' },
      seconds: 3,
      renders: 2,
    });
    expect(joinReleases(refused, rendered(upgrade))).toMatchObject({ kind: 'refused', refusal: { message: 'no' } });
  });
});
