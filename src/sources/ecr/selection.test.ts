import { describe, expect, it } from 'vitest';
import { parseSelection } from './selection.ts';
import { checkPrefix, sourceRepository, targetRepository } from './target-repository.ts';

const digest = `sha256:${'a'.repeat(64)}`;

describe('a list of images', () => {
  it('takes tags, digests and ALL_TAGS; without tag it is latest', () => {
    expect(
      parseSelection(`ubuntu, team/app:1.2,\nteam/app:ALL_TAGS,x@${digest},y:1@${digest}`, 'list', 'none'),
    ).toEqual([
      { kind: 'image', written: 'ubuntu', name: 'ubuntu', label: 'latest', digest: undefined },
      { kind: 'image', written: 'team/app:1.2', name: 'team/app', label: '1.2', digest: undefined },
      { kind: 'all-tags', written: 'team/app:ALL_TAGS', name: 'team/app' },
      { kind: 'image', written: `x@${digest}`, name: 'x', label: digest, digest },
      { kind: 'image', written: `y:1@${digest}`, name: 'y', label: '1', digest },
    ]);
  });

  it('keeps registries, ports included, for sources that are not ECR', () => {
    expect(parseSelection('quay.io/a/b:1,localhost:5000/c,a,a', 'list', 'allowed').map(({ name }) => name)).toEqual([
      'quay.io/a/b',
      'localhost:5000/c',
      'a',
    ]);
    expect(() => parseSelection('quay.io/a/b:1', 'list', 'none')).toThrow('names the registry quay.io');
  });

  it('understands line breaks that a console has written out', () => {
    expect(parseSelection('a:1,\\nb:2', 'list', 'none').map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it('tells every wrong entry, and where the list comes from', () => {
    expect(() => parseSelection('UPPER:1,a:b:c,fine', 'the parameter p', 'none')).toThrow(
      /^the parameter p: .*UPPER.*\nthe parameter p: .*a:b/,
    );
    expect(() => parseSelection(`y:1,y:1@${digest}`, 'l', 'none')).toThrow('and "y:1" would get one name');
    expect(() => parseSelection(' , ', '--src-image-list', 'none')).toThrow('--src-image-list names no image');
  });
});

describe('a repository at the target', () => {
  it.each([
    ['', 'team/app', 'team/app'],
    ['mirror', 'team/app', 'mirror/team/app'],
    ['mirror/', 'app', 'mirror/app'],
    ['acme-', 'app', 'acme-app'],
    ['', 'localhost:5000/app', 'localhost-5000/app'],
    ['m', 'quay.io/a/b', 'm/quay.io/a/b'],
  ])('with prefix "%s" of %s is %s', (prefix, source, target) => {
    expect(targetRepository(prefix, source)).toBe(target);
    if (!source.includes(':')) expect(sourceRepository(prefix, target)).toBe(source);
  });

  it('is of nobody without the prefix, and has to be legal', () => {
    expect(sourceRepository('mirror', 'other/app')).toBeUndefined();
    expect(sourceRepository('mirror', 'mirrored/app')).toBeUndefined();
    expect(() => targetRepository('', 'Upper/x')).toThrow('upper-case');
    expect(() => checkPrefix('My_Prefix')).toThrow('"My_Prefix" is no prefix');
    expect(() => checkPrefix('team/mirror')).not.toThrow();
  });
});
