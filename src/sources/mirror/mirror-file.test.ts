import { describe, expect, it } from 'vitest';
import { ReplicationErrors } from '../../model/errors.ts';
import { parseMirrorFile } from './mirror-file.ts';

const documented = `[DEFAULT]
refresh = 1w

[aws/proxyv2]
image = proxyv2
tag = 1.7.0
source-repository = istio
project = istio

[aws/mixer]
image = mixer
tag = 1.7.0
source-repository = istio
project = istio
`;

/** Everything that is wrong with a file, as `line: message`. */
function problems(text: string, file = 'config.ini'): readonly string[] {
  try {
    parseMirrorFile(text, file);
    return [];
  } catch (error) {
    if (!(error instanceof ReplicationErrors)) throw error;
    expect(error.errors.every(({ code }) => code === 'configuration')).toBe(true);
    return error.errors.map(({ message }) => message.replace(`${file}:`, ''));
  }
}

describe('a mirror file', () => {
  it("is the document's own: source is source-repository/image:tag, target project/image", () => {
    const { sections } = parseMirrorFile(documented, 'config.ini');
    expect(sections).toEqual([
      {
        name: 'aws/proxyv2',
        line: 4,
        source: { registry: 'docker.io', repository: 'istio/proxyv2' },
        tags: { kind: 'listed', tags: ['1.7.0'] },
        target: 'istio/proxyv2',
        platforms: 'all',
        refreshSeconds: 604_800,
      },
      expect.objectContaining({ name: 'aws/mixer', line: 10, target: 'istio/mixer' }),
    ]);
  });

  it('goes on where the original ends with a KeyError: name as target, latest, never again', () => {
    const { sections } = parseMirrorFile('[mirror/nginx]\nimage = nginx\n', 'config.ini');
    expect(sections[0]).toMatchObject({
      source: { registry: 'docker.io', repository: 'library/nginx' },
      tags: { kind: 'listed', tags: ['latest'] },
      target: 'mirror/nginx',
      refreshSeconds: undefined,
    });
  });

  it('takes registries, several tags, platforms, refreshes of its own and values over several lines', () => {
    const text = `[DEFAULT]
project: all/%(team)s
refresh = 6h
[team-is-no-key]
IMAGE = pause
registry = registry.k8s.io
tag = 3.9, 3.10
    3.8
project = k8s
platforms = linux/amd64,linux/arm64
refresh = 90s
[b]
image = app
source-repository = localhost:5000/team
semver = ^1.2
keep = 3
project = k8s`;
    expect(problems(text)).toEqual([expect.stringMatching(/^2: "all\/%\(team\)s" in \[DEFAULT\] has a %/)]);
    const { sections } = parseMirrorFile(text.replace('%(team)s', '%(refresh)s'), 'config.ini');
    expect(sections).toMatchObject([
      {
        source: { registry: 'registry.k8s.io', repository: 'pause' },
        tags: { tags: ['3.9', '3.10', '3.8'] },
        platforms: [
          { os: 'linux', architecture: 'amd64' },
          { os: 'linux', architecture: 'arm64' },
        ],
        refreshSeconds: 90,
      },
      {
        source: { registry: 'localhost:5000', repository: 'team/app' },
        tags: { kind: 'semver', range: '^1.2', keep: 3 },
        refreshSeconds: 21_600,
      },
    ]);
  });

  it('tells every mistake with its line', () => {
    const text = `[DEFAULT]
refresh = 5x
colour = red
[one]
image = a:1
tag = 1.0 ; the old one
semver = ^1
[two]
imagee = b
[three]
image = c
semver = soon
[four]
image = d
pattern = /(/
keep = 0
[five]
image = e
keep = 3
platforms = amd64`;
    const [first, ...more] = problems(text.replace('5x', '1d'));
    expect(first).toBe('3: unknown key "colour" in [DEFAULT]');
    expect(more).toEqual([
      '9: unknown key "imagee" in [two]',
      expect.stringMatching(/^5: "image" of \[one\] has a tag/),
      '6: "tag" of [one] "1.0 ; the old one" is no tag; a comment stands in a line of its own',
      expect.stringMatching(/^7: "semver" of \[one\] stands beside "tag"/),
      '8: "image" of [two] is missing',
      expect.stringMatching(/^12: "semver" of \[three\] is no range/),
      expect.stringMatching(/^15: "pattern" of \[four\] Invalid regular expression/),
      '16: "keep" of [four] is no whole number above 0',
      expect.stringMatching(/^20: "platforms" of \[five\] .*amd64/),
    ]);
    expect(problems('[a]\nimage = a\ntag = 1\nsemver = ^1\nproject=p')).toEqual([
      expect.stringMatching(/^4: "semver" of \[a\] stands beside "tag"/),
    ]);
    expect(problems('[aa]\nimage = a\nkeep = 2')).toEqual([
      expect.stringMatching(/^3: "keep" of \[aa\] means nothing/),
    ]);
  });

  it('points to the key "registry" where an image begins with a host and its port', () => {
    expect(problems('[aa]\nimage = localhost:5000/team/x:1\n[bb]\nimage = x:5000')).toEqual([
      '2: "image" of [aa] begins with a registry\'s host; use the key "registry" for it: registry = localhost:5000, image = team/x',
      '4: "image" of [bb] has a tag, a digest or blanks in it; use the key "tag"',
    ]);
    const { sections } = parseMirrorFile('[aa]\nregistry = localhost:5000\nimage = team/x', 'm.ini');
    expect(sections).toMatchObject([{ source: { registry: 'localhost:5000', repository: 'team/x' }, target: 'aa' }]);
  });

  it.each(['5x', '-1d', '0m', '1.5h', 'm', '', '1M', '99999w'])('refuses the interval "%s"', (interval) => {
    const [message, ...more] = problems(`[DEFAULT]\nrefresh = ${interval}\n[ab]\nimage = a\n[bb]\nimage = b\n`);
    expect(message).toMatch(/^2: "refresh" of \[DEFAULT\] "/);
    expect(more).toEqual([]);
  });

  it('refuses what is no INI, with the line', () => {
    expect(problems('image = a\n[a]\nimage = a\nimage = b\n[a]\n[]\nnonsense\n')).toEqual([
      '1: "image = a" stands in no section',
      '4: "image" stands in line 3 of [a] already',
      '5: [a] stands in line 2 already',
      '6: a section without a name',
      '7: "nonsense" is neither a section nor a value',
    ]);
    expect(problems('# nothing\n')).toEqual(['1: has no section']);
  });

  it('refuses one name for two sources, and names that a registry cannot have', () => {
    const shared = '[aa]\nimage=x\nproject=p\ntag=1\n[bb]\nimage=x\nproject=p\ntag=2,1\nsource-repository=other\n';
    expect(problems(shared)).toEqual(['5: [bb] goes to p/x:1, as [aa] in line 1 does from docker.io/library/x']);
    expect(problems('[Mirror/Nginx]\nimage = nginx')).toEqual([
      expect.stringMatching(/^1: \[Mirror\/Nginx\]: .*upper-case/),
    ]);
  });

  it('may be YAML, where 1.10 is a tag and lists are lists', () => {
    const text = `DEFAULT: {refresh: 1w}
aws/proxyv2:
  image: proxyv2
  tag: [1.10, 1.9.0]
  source-repository: istio
  project: istio
other:
  image: b
  refresh: 0
`;
    const { sections } = parseMirrorFile(text, 'mirror.yaml');
    expect(sections).toMatchObject([
      { name: 'aws/proxyv2', line: 2, tags: { tags: ['1.10', '1.9.0'] }, target: 'istio/proxyv2' },
      { name: 'other', line: 7, refreshSeconds: undefined },
    ]);
    expect(problems('aws/a:\n  image: a\n  colour: red\n  refresh: 2y\n', 'm.yml')).toEqual([
      '3: unknown key "colour" in [aws/a]',
      expect.stringMatching(/^4: "refresh" of \[aws\/a\] "2y" is no interval/),
    ]);
    expect(problems('a: 1\nb:\n  image: {x: y}\n', 'm.yml')).toEqual([
      '1: "a" is no map of keys and values',
      '3: "image" in "b" is neither a text nor a list',
    ]);
    expect(problems('a: {image: a}\na: {image: b}\n', 'm.yml')).toEqual([
      expect.stringMatching(/^2: Map keys must be unique/),
    ]);
    expect(problems('a: [\n', 'm.yml')[0]).toMatch(/^\d: /);
  });
});
