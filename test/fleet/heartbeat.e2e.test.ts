import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import * as z from 'zod';
import { describeWith } from '../tools.ts';
import { type Containers, images, lastWord, said, startContainers, until } from './containers.ts';
import type { OwnAnswer } from './front.ts';

const Token = z.looseObject({ taskToken: z.string() });

describeWith(['moto_server'], 'a worker whose heartbeats are lost', () => {
  let containers: Containers;
  beforeAll(async () => {
    containers = await startContainers();
  });
  beforeEach(() => containers.calm());
  afterAll(() => containers.close());

  /** What the task hears from Step Functions instead of anything else. */
  const answerTo = (token: string, answer: (operation: string) => OwnAnswer): void =>
    containers.trouble(({ service, target, body }) => {
      if (service !== 'states' || Token.parse(JSON.parse(body)).taskToken !== token) return undefined;
      return answer(target.split('.').at(-1) ?? '');
    });
  const refused = (name: string): OwnAnswer => ({ status: 400, body: { __type: name, message: 'over' } });
  /** Everything that a run has written, but for its images. */
  const left = async (name: string) => [await containers.result(name), await containers.statuses(name)];

  /** A worker that waits for a blob until it is let go, and by then has a successor, who has copied everything. */
  async function overtaken(prefix: string, answer: (operation: string) => OwnAnswer) {
    const { source } = containers.fleet;
    const name = await containers.plan(prefix);
    let letGo = (): void => undefined;
    const gate = new Promise<void>((resolve) => (letGo = resolve));
    source.fail({ class: 'storage-get', fault: { kind: 'call', run: () => gate } });
    const old = containers.worker(name, { token: `token-${name}-1` });
    await until(() => source.faults.pending === 0);
    answerTo(`token-${name}-1`, answer);
    const successor = await containers.worker(name, { token: `token-${name}-2` }).ended;
    expect(successor.status, said(successor)).toBe(0);
    expect(lastWord(containers.reports, `token-${name}-2`)?.operation).toBe('SendTaskSuccess');
    await containers.expectDone(name);
    return { name, old: old.ended, letGo };
  }

  it('ends when it is told so, and leaves everything as its successor has it', async () => {
    let told = 0;
    const { name, old, letGo } = await overtaken('told', () => {
      told += 1;
      return refused('TaskTimedOut');
    });
    await until(() => told > 0);
    const before = await left(name);
    letGo();
    const run = await old;
    expect(run.status, said(run)).toBe(1);
    expect(run.stdout).toContain('another attempt has taken its place');
    expect(lastWord(containers.reports, `token-${name}-1`)).toBeUndefined();
    expect(await left(name)).toEqual(before);
    await containers.expectDone(name);
  });

  it('and who is told at its end only leaves the result as its successor has it, and says nothing that is not so', async () => {
    let reachable = false;
    const { name, old, letGo } = await overtaken('late', () => (reachable ? refused('TaskDoesNotExist') : 'hang up'));
    const before = await containers.result(name);
    expect(before).toMatchObject({ attempts: 2, failures: [] });
    reachable = true;
    letGo();
    const run = await old;
    expect(run.status, said(run)).toBe(1);
    expect(await containers.result(name)).toEqual(before);
    await containers.expectDone(name);
    const { copied = 0, unchanged = 0 } = before?.counts ?? {};
    expect(copied + unchanged).toBe(images.length);
  });
});
