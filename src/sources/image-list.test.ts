import { describe, expect, it } from 'vitest';
import { ReplicationErrors } from '../model/errors.ts';
import { parseImageList } from './image-list.ts';

const digest = `sha256:${'a'.repeat(64)}`;

function problems(text: string): readonly string[] {
  try {
    parseImageList(text, 'list.txt');
  } catch (error) {
    if (error instanceof ReplicationErrors) return error.errors.map(({ message }) => message);
    throw error;
  }
  return [];
}

describe('a list of images', () => {
  it('has a source, and perhaps a target, on each line', () => {
    const text = `\uFEFF# images of the platform
nginx:1.27

  quay.io/a/b@${digest}\tregistry.example:5000/b:1   # pinned\r
registry.example:5000/c # the last one`;
    expect(parseImageList(text, 'list.txt')).toEqual([
      { source: 'nginx:1.27', target: undefined, origin: { path: 'list.txt:2', file: 'list.txt', line: 2 } },
      {
        source: `quay.io/a/b@${digest}`,
        target: 'registry.example:5000/b:1',
        origin: { path: 'list.txt:4', file: 'list.txt', line: 4 },
      },
      {
        source: 'registry.example:5000/c',
        target: undefined,
        origin: { path: 'list.txt:5', file: 'list.txt', line: 5 },
      },
    ]);
    expect(parseImageList('', 'list.txt')).toEqual([]);
  });

  it('is refused with every wrong line', () => {
    expect(problems(`nginx\nNginx UPPER\na b c\nquay.io/x:bad:tag\nnginx quay.io/@x\nbusybox`)).toEqual([
      expect.stringMatching(/^list\.txt:2: "Nginx" is not an image reference/),
      'list.txt:3: has 3 words, expected `source-reference [target-reference]`',
      expect.stringMatching(/^list\.txt:4: "quay\.io\/x:bad:tag" is not an image reference/),
      expect.stringMatching(/^list\.txt:5: "quay\.io\/@x" is not an image reference/),
    ]);
  });

  it('names no other digest at the target than at the source, where it names a tag, too', () => {
    expect(problems(`r.example/a@${digest} r.example/n:1@${digest}\nnginx r.example/n:2`)).toEqual([]);
    expect(problems(`nginx r.example/n:1@${digest}`)).toEqual([
      `list.txt:1: "r.example/n:1@${digest}" names a tag and a digest, and "nginx" not this digest`,
    ]);
  });

  it('may name one target twice for the same image only', () => {
    expect(problems('nginx r.example/n:1\ndocker.io/library/nginx:latest r.example/n:1')).toEqual([]);
    expect(problems('nginx r.example/n\nbusybox r.example/n:latest')).toEqual([
      'list.txt:2: "r.example/n:latest" is also the target of "nginx" (line 1)',
    ]);
  });
});
