import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../model/digest.ts';
import { compareContents, type Content, noContent } from './compare.ts';

const digest = (name: string): Digest => digestOf(name);
const content = (tags: Readonly<Record<string, string>>, untagged: readonly string[] = []): Content => ({
  tags: new Map(Object.entries(tags).map(([tag, name]) => [tag, digest(name)])),
  digests: new Set([...Object.values(tags), ...untagged].map(digest)),
});

describe('two repositories compared', () => {
  it('differ by new, moved and deleted tags, and by untagged manifests', () => {
    const source = content({ new: 'n', moved: 'm2', same: 's' }, ['signature', 'child']);
    const target = content({ moved: 'm1', same: 's', gone: 'g' }, ['child', 'orphan']);
    expect(compareContents(source, target, 'all-tags')).toEqual({
      changed: [
        { label: 'moved', digest: digest('m2') },
        { label: 'new', digest: digest('n') },
      ],
      unchanged: [{ label: 'same', digest: digest('s') }],
      absent: [],
      untagged: [digest('signature')],
      extraTags: [{ label: 'gone', digest: digest('g') }],
      extraDigests: [digest('orphan')],
    });
  });

  it('are compared by what was asked for only: tags, digests, and tags that stand for a digest', () => {
    const source = content({ a: 'a', b: 'b', c: 'c2' }, ['u', 'c1']);
    const target = content({ b: 'b', z: 'z', c: 'c2' }, []);
    const wanted = [
      { label: 'a' },
      { label: 'b' },
      { label: 'x' },
      { label: 'c', digest: digest('c1') },
      { label: digest('u'), digest: digest('u') },
      { label: digest('b'), digest: digest('b') },
      { label: digest('q'), digest: digest('q') },
    ];
    expect(compareContents(source, target, wanted)).toMatchObject({
      changed: [{ label: 'a' }, { label: 'c', digest: digest('c1') }, { label: digest('u') }],
      unchanged: [{ label: 'b' }, { label: digest('b') }],
      absent: [digest('q'), 'x'],
      extraTags: [],
      extraDigests: [],
    });
  });

  it('are equal once the differences are copied and the rest is pruned', () => {
    const tags = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('1', '2', '3'));
    fc.assert(
      fc.property(tags, tags, (here, there) => {
        const [source, target] = [content(here), content(there)];
        const { changed, extraTags } = compareContents(source, target, 'all-tags');
        const after = new Map(target.tags);
        for (const each of changed) after.set(each.label, each.digest);
        for (const { label } of extraTags) after.delete(label);
        expect(after).toEqual(source.tags);
        expect(compareContents(source, noContent, 'all-tags').changed).toHaveLength(source.tags.size);
      }),
    );
  });
});
