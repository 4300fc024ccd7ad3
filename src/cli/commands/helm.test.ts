import { describe, expect, it } from 'vitest';
import { ReplicationError } from '../../model/errors.ts';
import { withOtherWays } from './helm.ts';

describe('a helm that cannot be fetched', () => {
  it('is told with the other ways to have one', () => {
    const error = withOtherWays(
      new ReplicationError('unreachable', 'get.helm.sh: its name is not known (DNS)', {
        side: 'source',
        host: 'get.helm.sh',
        remedy: 'check the name server',
      }),
    );
    expect(error).toMatchObject({
      code: 'unreachable',
      host: 'get.helm.sh',
      message: 'there is no suitable helm on PATH, and get.helm.sh: its name is not known (DNS)',
      remedy: expect.stringMatching(
        /^put helm 3\.8 or newer on PATH, .*HelmDistroUrl.*; else check the name server$/,
      ) as string,
    });
  });

  it('because of something else stays as it is', () => {
    const error = new ReplicationError('cancelled', 'stopped by SIGTERM');
    expect(withOtherWays(error)).toBe(error);
  });
});
