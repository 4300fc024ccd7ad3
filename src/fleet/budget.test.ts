import { describe, expect, it } from 'vitest';
import { SimulatedFleet, type WorkerSpec } from '../../test/simulated-fleet.ts';

/** Simulated time, real pacers and budgets: an account that takes 10 manifests a second, 10 at once. */
describe('a write budget', () => {
  const workers = (count: number, spec: (index: number) => Omit<WorkerSpec, 'name'>): WorkerSpec[] =>
    Array.from({ length: count }, (_, index) => ({ name: `worker ${index}`, ...spec(index) }));
  const total = (specs: readonly WorkerSpec[]): number => specs.reduce((sum, { manifests }) => sum + manifests, 0);

  /** All arrived, within 5 % of the time that the limit asks for, and less than 2 % were refused. */
  function expectWithinLimit(fleet: SimulatedFleet, specs: readonly WorkerSpec[]): void {
    const wanted = total(specs);
    expect(fleet.host.accepted).toBe(wanted);
    for (const { name, manifests } of specs) expect([name, fleet.doneBy.get(name)]).toEqual([name, manifests]);
    expect(fleet.host.lastAt / 1000).toBeLessThan(fleet.floor(wanted) * 1.05);
    expect(fleet.host.refused).toBeLessThan(wanted * 0.02);
    expect(fleet.table.requests).toBeLessThan(wanted * 0.4);
    expect(fleet.events).toEqual([]);
  }

  it.each([1, 2, 10])('is spent by %i workers as by one that knows the limit', async (count) => {
    const fleet = new SimulatedFleet(10);
    const specs = workers(count, () => ({ manifests: 600 / count }));
    await fleet.run(specs);
    expectWithinLimit(fleet, specs);
    expect(fleet.host.refused).toBe(0);
  });

  it.each([1, 4, 10])(
    'is spent by %i workers without a refusal where the table answers after 400 ms',
    async (count) => {
      const fleet = new SimulatedFleet(count);
      fleet.table.leastMs = 100;
      const specs = workers(count, () => ({ manifests: 600 / count }));
      await fleet.run(specs);
      expectWithinLimit(fleet, specs);
      expect(fleet.host.refused).toBe(0);
    },
  );

  it('is spent whole while workers join and leave', async () => {
    const fleet = new SimulatedFleet(10);
    const specs = workers(10, (n) => ({ manifests: 20 + n * 9, startsAt: n < 4 ? 0 : n * 2_000 }));
    await fleet.run(specs);
    expectWithinLimit(fleet, specs);
  });

  it('is spent whole by workers at different distances', async () => {
    const fleet = new SimulatedFleet(10);
    const specs = workers(10, (n) => ({ manifests: 60, oneWayMs: n % 2 === 0 ? 150 : 10 }));
    await fleet.run(specs);
    expectWithinLimit(fleet, specs);
  });

  it('is spent whole by workers whose clocks are wrong by up to an hour', async () => {
    const fleet = new SimulatedFleet(10);
    const skews = [-40_000, 40_000, 300, -300, 3_600_000, -3_600_000, 700, -700, 50, 5_000];
    const specs = workers(10, (n) => ({ manifests: 60, skewMs: skews[n] ?? 0 }));
    await fleet.run(specs);
    expectWithinLimit(fleet, specs);
  });

  it('loses no more than the places of a worker that is killed', async () => {
    const fleet = new SimulatedFleet(10);
    const specs = workers(10, (n) => ({ manifests: 60, ...(n === 3 ? { diesAt: 12_000 } : {}) }));
    await fleet.run(specs);
    const done = [...fleet.doneBy.values()].reduce((sum, each) => sum + each, 0);
    expect(fleet.doneBy.get('worker 3')).toBeLessThan(30);
    expect(done).toBe(540 + (fleet.doneBy.get('worker 3') ?? 0));
    // At most what it held: two batches of half a second.
    expect(fleet.host.lastAt / 1000).toBeLessThan(fleet.floor(done) * 1.02 + 1);
    expect(fleet.host.refused).toBe(0);
  });

  it('is asked in few requests by many workers with little each', async () => {
    const fleet = new SimulatedFleet(100);
    const specs = workers(100, () => ({ manifests: 8 }));
    await fleet.run(specs);
    expect([fleet.host.accepted, fleet.host.refused]).toEqual([800, 0]);
    // Each looks first, and then asks for what it has in two batches; some are overtaken.
    expect(fleet.table.requests).toBeLessThan(700);
    expect(fleet.host.lastAt / 1000).toBeLessThan(fleet.floor(800) * 1.05);
  });

  it('hands out places at once, as long as there are more than are asked for', async () => {
    const fleet = new SimulatedFleet(10);
    const specs = workers(60, (n) => ({ manifests: 3, startsAt: n * 500 }));
    await fleet.run(specs);
    expect([fleet.host.accepted, fleet.host.refused]).toEqual([180, 0]);
    expect(fleet.host.lastAt).toBeLessThan(59 * 500 + 500);
  });

  it('follows a host that takes less, all workers together', async () => {
    const fleet = new SimulatedFleet(10);
    await fleet.run(
      workers(10, () => ({ manifests: 60 })),
      (now) => {
        if (now === 20_000) fleet.host.perSecond = 3;
      },
    );
    expect(fleet.host.accepted).toBe(600);
    // 210 by then, and 3 a second from then on.
    expect(fleet.host.lastAt / 1000).toBeLessThan((20 + 390 / 3) * 1.05);
    expect(fleet.host.refused).toBeLessThan(80);
  });

  it('follows a host that takes less for a while, and goes back to what is known', async () => {
    const fleet = new SimulatedFleet(10);
    await fleet.run(
      workers(10, () => ({ manifests: 100 })),
      (now) => {
        if (now === 20_000) fleet.host.perSecond = 3;
        if (now === 50_000) fleet.host.perSecond = 10;
      },
    );
    expect(fleet.host.accepted).toBe(1000);
    expect(fleet.host.lastAt / 1000).toBeLessThan((20 + 30 + (1000 - 210 - 90) / 10) * 1.25);
    expect(fleet.host.refused).toBeLessThan(60);
  });

  it('that cannot be asked for a while is replaced by a tenth for each of ten workers, and says so', async () => {
    const fleet = new SimulatedFleet(10);
    fleet.table.throttled = () => fleet.clock.now() > 10_000 && fleet.clock.now() < 30_000;
    await fleet.run(workers(10, () => ({ manifests: 60 })));
    expect(fleet.host.accepted).toBe(600);
    expect(fleet.host.lastAt / 1000).toBeLessThan(fleet.floor(600) * 1.2);
    expect(fleet.host.refused).toBeLessThan(600 * 0.06);
    expect(fleet.events).toHaveLength(10);
    expect(fleet.events[0]).toMatchObject({ type: 'notice', level: 'warning' });
    expect(JSON.stringify(fleet.events[0])).toContain('cannot be asked; going on with 1 of 10 manifests a second by');
  });

  it('that can never be asked leaves nothing behind', async () => {
    const fleet = new SimulatedFleet(10);
    fleet.table.throttled = () => true;
    await fleet.run(workers(10, () => ({ manifests: 20 })));
    expect(fleet.host.accepted).toBe(200);
    expect(fleet.host.lastAt / 1000).toBeLessThan(22);
    expect(fleet.host.refused).toBe(0);
  });
});
