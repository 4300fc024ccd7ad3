import { describe, expect, it } from 'vitest';
import { ReplicationError } from '../../model/errors.ts';
import { calm } from '../test-support.ts';
import { confirm } from './confirm.ts';
import type { FoundKind, FoundReference } from './found.ts';

const reference = (kind: FoundKind, text: string): FoundReference => ({
  kind,
  text,
  place: {
    template: 'a',
    line: 1,
    object: { apiVersion: 'v1', kind: 'Pod', name: 'p', namespace: undefined },
    path: [],
    span: undefined,
  },
});
const found = [
  reference('typed', 'a/typed'),
  reference('text', 'a/real:1'),
  reference('field', 'a/real:1'),
  reference('text', 'a/not:1'),
  reference('field', 'x.invalid/a:1'),
];

describe('confirmation of guesses', () => {
  it('asks once for each guess, never for containers, and sorts them', async () => {
    const asked: string[] = [];
    const exists = (text: string): Promise<boolean> => {
      asked.push(text);
      if (text.startsWith('x.invalid')) throw new ReplicationError('unreachable', 'no such host');
      return Promise.resolve(text === 'a/real:1');
    };
    const sorted = await confirm(found, exists, calm());
    expect(asked).toEqual(['a/real:1', 'a/not:1', 'x.invalid/a:1']);
    expect(sorted.references).toEqual(found.slice(0, 3));
    expect(sorted.rejected).toEqual([found[3]]);
    expect(sorted.undecided).toMatchObject([{ found: found[4], error: { code: 'unreachable' } }]);
  });

  it('fails when the answer depends on the hour, and when it is stopped', async () => {
    for (const code of ['throttled', 'unavailable'] as const) {
      const exists = (): Promise<boolean> => Promise.reject(new ReplicationError(code, 'later'));
      await expect(confirm(found, exists, calm())).rejects.toMatchObject({ code });
    }
    await expect(confirm(found, () => Promise.resolve(true), AbortSignal.abort(new Error('stop')))).rejects.toThrow(
      'stop',
    );
  });
});
