import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startJsonApiServer } from '../../../test/json-api-server.ts';
import type { Failure } from '../../model/result.ts';
import { openSession, type Session } from '../session.ts';
import { runAsTask } from './task.ts';
import { leaveShards } from './write-shards.ts';

const secret = 'hunter2-of-the-registry';
const failure: Failure = {
  ...{
    artifact: 'registry.example/a:1',
    side: 'source',
    code: 'unauthorized',
    cause: `the password ${secret} is wrong`,
  },
  ...{ reference: undefined, digest: undefined, host: undefined, remedy: undefined },
};

describe('secrets of a session that a registry quotes', () => {
  let folder: string;
  let session: Session;
  const env = () => ({
    TMPDIR: folder,
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'AKIASECRETS',
    AWS_SECRET_ACCESS_KEY: 'secrets-secret-key',
  });
  const stream = (): PassThrough => new PassThrough().resume();

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'secrets-test-'));
    session = await openSession({ env: env(), stdout: stream() });
    session.mask.add(secret);
  });
  afterEach(async () => {
    await session.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('do not get into the run folder by what could not be planned', async () => {
    const places = { out: join(folder, 'out'), shards: join(folder, 'run') };
    const common = { access: {}, targets: {}, tries: 1, verify: false, referrers: true };
    await leaveShards(session, places, {
      ...{ job: 'images', requests: [], compared: true, failures: [failure] },
      settings: common,
    });
    const text = await readFile(join(folder, 'run/planning.json'), 'utf8');
    expect(text).toContain('the password ****** is wrong');
  });

  it('are not told to Step Functions', async () => {
    const states = await startJsonApiServer(() => ({ output: {} }));
    try {
      // The SDK looks at the process itself.
      for (const [name, value] of Object.entries({ ...env(), AWS_ENDPOINT_URL_SFN: states.url }))
        vi.stubEnv(name, value);
      const environment = { env: env(), stdout: stream(), stderr: stream() };
      await runAsTask(environment, 'the-token', ({ task }) => {
        task?.attach(session);
        task?.ended(1, { failures: [failure], totals: undefined }, false);
        return Promise.resolve(1);
      });
      expect(states.requests.at(-1)).toMatchObject({
        operation: 'SendTaskFailure',
        input: { error: 'Failed', cause: 'registry.example/a:1: the password ****** is wrong' },
      });
    } finally {
      vi.unstubAllEnvs();
      await states.close();
    }
  });
});
