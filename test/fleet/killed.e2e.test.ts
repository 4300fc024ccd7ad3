import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeWith } from '../tools.ts';
import { type Containers, lastWord, said, startContainers } from './containers.ts';

/** Where requests arrive, and how many there are at least in a run that is not disturbed. */
const receivers = { source: 40, destination: 60, aws: 8 } as const;
type Receiver = keyof typeof receivers;

/** Always the same numbers between 0 and 1: https://en.wikipedia.org/wiki/Linear_congruential_generator */
function dice(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
}

const roll = dice(20_261_121);
const turns: readonly Receiver[] = ['source', 'destination', 'aws', 'destination', 'source'];
/** Two moments each: the first try dies somewhere, the second one early in what is left. The third is let alone. */
const moments = turns.map((first, turn) => {
  const second = turns[(turn + 2) % turns.length] ?? 'aws';
  return [
    { at: first, request: Math.floor(roll() * receivers[first]) },
    { at: second, request: Math.floor((roll() * receivers[second]) / 8) },
  ] as const;
});

describeWith(['moto_server'], 'a worker that is killed twice', () => {
  let containers: Containers;
  beforeAll(async () => {
    containers = await startContainers();
  });
  beforeEach(() => containers.calm());
  afterAll(() => containers.close());

  /** Kills with a request in the middle of its way. */
  async function killed(name: string, { at, request }: (typeof moments)[number][number]): Promise<void> {
    const { source, destination } = containers.fleet;
    const worker = containers.worker(name, { token: `token-${name}` });
    const kill = (): void => void worker.process.kill('SIGKILL');
    let seen = 0;
    if (at === 'aws')
      containers.trouble(({ service }) => {
        if (service !== 'states' && seen++ === request) kill();
        return undefined;
      });
    else (at === 'source' ? source : destination).fail({ skip: request, fault: { kind: 'call', run: kill } });
    const run = await worker.ended;
    expect(run.status, `${at} ${request}: ${said(run)}`).toBeNull();
    containers.trouble(() => undefined);
    for (const server of [source, destination]) server.faults.clear();
    expect(await containers.lies(name)).toEqual([]);
  }

  it.each(moments.map((each, index) => ({ prefix: `run-${index}`, each })))(
    'in $prefix at request $each.0.request to $each.0.at and $each.1.request to $each.1.at completes, and moves no blob twice',
    async ({ prefix, each }) => {
      const name = await containers.plan(prefix);
      for (const moment of each) await killed(name, moment);
      const last = await containers.worker(name, { token: `token-${name}-last` }).ended;
      expect(last.status, said(last)).toBe(0);
      expect(lastWord(containers.reports, `token-${name}`)).toBeUndefined();
      expect(lastWord(containers.reports, `token-${name}-last`)?.operation).toBe('SendTaskSuccess');
      expect((await containers.result(name))?.attempts).toBeGreaterThan(1);
      await containers.expectDone(name);
      expect(containers.movedTwice(name)).toEqual([]);
    },
  );
});
