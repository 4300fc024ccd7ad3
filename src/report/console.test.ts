import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import type { Failure, Outcome, Totals } from '../model/result.ts';
import { SecretMask } from '../model/secrets.ts';
import { type ConsoleOptions, consoleReporter, type ReportClock } from './console.ts';
import { newProgressCounters } from './events.ts';

/** Counts tenths of a second: whole numbers add up exactly. */
class ManualClock implements ReportClock {
  #tenths = 1000;
  readonly #timers: { readonly period: number; next: number; readonly callback: () => void }[] = [];

  now(): number {
    return this.#tenths / 10;
  }

  every(seconds: number, callback: () => void): () => void {
    const timer = { period: seconds * 10, next: this.#tenths + seconds * 10, callback };
    this.#timers.push(timer);
    return () => this.#timers.splice(this.#timers.indexOf(timer), 1);
  }

  pass(seconds: number): void {
    for (let step = 0; step < seconds * 10; step++) {
      this.#tenths += 1;
      for (const timer of [...this.#timers]) {
        if (this.#tenths < timer.next) continue;
        timer.next += timer.period;
        timer.callback();
      }
    }
  }

  get running(): number {
    return this.#timers.length;
  }
}

function setUp(options: Partial<ConsoleOptions> = {}) {
  const stream = Object.assign(new PassThrough(), { columns: 60, rows: 24 });
  const [clock, counters, mask] = [new ManualClock(), newProgressCounters(), new SecretMask()];
  const reporter = consoleReporter({ stream, counters, mask, clock, interactive: false, ...options });
  let text = '';
  const output = (): string => (text += String(stream.read() ?? ''));
  return { stream, clock, counters, mask, reporter, output, outputLines: () => output().split('\n').slice(0, -1) };
}

const digest = digestOf('x');
const totals: Totals = {
  bytesRead: 2e6,
  bytesWritten: 3e6,
  blobsRead: 2,
  blobsWritten: 3,
  blobsMounted: 1,
  manifestsWritten: 4,
  spent: { reading: 1.5, writing: 2, limited: 1, limitedBy: 'registry.example', cpu: 0.5 },
  seconds: 2,
};

function copied(artifact: string): Outcome {
  return { kind: 'copied', artifact, targets: ['ecr/a:1', 'ecr/b:1'], digest, bytes: 1e6, seconds: 0.5 };
}

function unchanged(artifact: string): Outcome {
  return { kind: 'unchanged', artifact, targets: [`ecr/${artifact}`], digest };
}

function failure(artifact: string, more: Partial<Failure> = {}): Failure {
  return {
    artifact,
    side: 'source',
    reference: undefined,
    digest: undefined,
    host: 'quay.io',
    code: 'not-found',
    cause: 'no such tag',
    remedy: 'check the tag',
    ...more,
  };
}

describe('plain output', () => {
  it('says what is planned, what became of each artifact, and how it ended', () => {
    const { reporter, outputLines, clock } = setUp();
    reporter.emit({ type: 'run-started', job: 'eks', target: 'ecr/demo-…' });
    reporter.emit({ type: 'planned', images: 2, charts: 1, targets: 4, sources: ['docker.io', 'quay.io'] });
    reporter.emit({ type: 'phase', phase: 'copy' });
    reporter.emit({ type: 'artifact-started', artifact: 'quay.io/a:1' });
    reporter.emit({ type: 'artifact-finished', outcome: copied('quay.io/a:1') });
    reporter.emit({ type: 'artifact-finished', outcome: unchanged('b:1') });
    clock.pass(3);
    const files = ['out/replication_result.json', 'out/run.json'];
    reporter.emit({ type: 'run-finished', job: 'eks', ok: true, totals, failures: [], files });
    expect(outputLines()).toEqual([
      'eks -> ecr/demo-…',
      'planned: 2 images and 1 chart under 4 names from docker.io, quay.io',
      '== copy',
      'copied     quay.io/a:1 -> ecr/a:1 and 1 more name  (1.00 MB, 0.5 s)',
      'unchanged  b:1 -> ecr/b:1',
      '',
      'eks: done in 3 s',
      '  copied     1 artifact',
      '             quay.io/a:1',
      '  unchanged  1 artifact',
      '  moved      2.00 MB read, 3.00 MB sent, 1.50 MB/s; 3 blobs sent, 1 mounted, 4 manifests (1 MB = 1,000,000 bytes)',
      '  time       2 s to copy, reading from sources in 1.5 s of it, writing to targets in 2 s, waiting for the rate limit of registry.example in 1 s, processor 0.5 s',
      '',
      'files:',
      '  out/replication_result.json',
      '  out/run.json',
    ]);
  });

  it('says that there was nothing to copy', () => {
    const { reporter, output } = setUp();
    for (const name of ['a:1', 'b:1']) reporter.emit({ type: 'artifact-finished', outcome: unchanged(name) });
    reporter.emit({ type: 'run-finished', job: 'eks', ok: true, totals: undefined, failures: [] });
    expect(output()).toContain('nothing to copy: the target holds all 2 artifacts already');
  });

  it('tells every failure with side, reference, host, cause and remedy', () => {
    const { reporter, outputLines } = setUp();
    const failures = [
      failure('quay.io/a:1'),
      failure('grafana 8.1', {
        side: 'target',
        host: undefined,
        code: 'conflict',
        reference: 'demo-grafana:8.1',
        digest,
        cause: 'the tag is immutable\nand holds something else',
        remedy: undefined,
      }),
    ];
    reporter.emit({
      type: 'artifact-finished',
      outcome: { kind: 'failed', artifact: 'quay.io/a:1', targets: [], failures },
    });
    reporter.emit({ type: 'run-finished', job: 'eks', ok: false, totals: undefined, failures });
    const all = outputLines();
    expect(all[0]).toBe('failed     quay.io/a:1: no such tag');
    expect(all[2]).toMatch(/^eks: FAILED with 2 failures/);
    expect(all.slice(all.indexOf('failures:'))).toEqual([
      'failures:',
      '  1. quay.io/a:1 (source quay.io, not-found)',
      '     no such tag',
      '     what to do: check the tag',
      '  2. grafana 8.1 (target, conflict)',
      '     the tag is immutable',
      '     and holds something else',
      '     reference: demo-grafana:8.1',
      `     digest: ${digest}`,
    ]);
  });

  it('tells what is the same for several artifacts once, with the name of each', () => {
    const { reporter, outputLines } = setUp();
    const failures = [...['a:1', 'b:1'].map((name) => failure(name)), failure('c:1', { cause: 'no such thing' })];
    reporter.emit({ type: 'run-finished', job: 'eks', ok: false, totals: undefined, failures });
    const all = outputLines();
    expect(all).toContain('eks: FAILED with 3 failures after 0 s');
    expect(all.slice(all.indexOf('failures:'))).toEqual([
      'failures:',
      '  1. 2 artifacts (not-found)',
      '     no such tag',
      '     what to do: check the tag',
      '       a:1',
      '       b:1',
      '  2. c:1 (source quay.io, not-found)',
      '     no such thing',
      '     what to do: check the tag',
    ]);
  });

  it('says what a stop leaves, once and at the end', () => {
    const { reporter, outputLines } = setUp();
    const stopped = { code: 'cancelled', cause: 'stopped by SIGINT', remedy: 'run again' } as const;
    const failures = ['a:1', 'b:1'].map((name, index) => failure(name, { ...stopped, host: `host-${index}` }));
    reporter.emit({ type: 'artifact-finished', outcome: copied('c:1') });
    for (const each of failures) {
      const outcome = { kind: 'failed', artifact: each.artifact, targets: [], failures: [each] } as const;
      reporter.emit({ type: 'artifact-finished', outcome });
    }
    reporter.emit({ type: 'run-finished', job: 'eks', ok: false, totals: undefined, failures });
    expect(outputLines().slice(1)).toEqual([
      '',
      'eks: STOPPED after 0 s with 2 artifacts left',
      '  copied     1 artifact',
      '             c:1',
      '  left       2 artifacts',
      '',
      'left:',
      '  1. 2 artifacts (cancelled)',
      '     stopped by SIGINT',
      '     what to do: run again',
      '       a:1',
      '       b:1',
    ]);
  });

  it('counts repetitions by host and reason, whatever they were for', () => {
    const { reporter, output } = setUp();
    for (const what of ['manifest a:1', 'manifest b:1']) {
      const reason = `quay.io: the connection was lost (${what})`;
      reporter.emit({ type: 'retry', host: 'quay.io', what, reason, delaySeconds: 1, attempt: 1 });
    }
    reporter.emit({ type: 'run-finished', job: 'eks', ok: true, totals: undefined, failures: [] });
    expect(output()).toContain('  repeated: quay.io 2 × the connection was lost\n');
  });

  it('writes a progress line every ten seconds at most, with what holds it up', () => {
    const { reporter, counters, clock, outputLines } = setUp();
    reporter.emit({ type: 'phase', phase: 'copy' });
    Object.assign(counters, { artifactsTotal: 40, artifactsDone: 10, expectedBytes: 1e9 });
    for (let second = 0; second < 25; second++) {
      clock.pass(1);
      counters.writtenBytes += 20e6;
      if (second === 12) counters.throttled.set('ecr', 7);
      reporter.emit({
        type: 'retry',
        host: 'ecr',
        what: 'PUT',
        reason: 'answer 429',
        delaySeconds: 1,
        attempt: second,
      });
    }
    expect(outputLines()).toEqual([
      '== copy',
      'copy, 10 s; 10 of 40 artifacts, 180 MB of 1.00 GB, 18.0 MB/s, about 46 s left; repeated: ecr 9 × answer 429',
      'copy, 20 s; 10 of 40 artifacts, 380 MB of 1.00 GB, 20.0 MB/s, about 31 s left; ' +
        'waiting for a rate limit: 7 requests at ecr (answer 429); repeated: ecr 19 × answer 429',
    ]);
  });

  it('gives a sign of life in a long silence, and none before anything began or after the end', () => {
    const { reporter, clock, outputLines } = setUp();
    clock.pass(60);
    reporter.emit({ type: 'phase', phase: 'plan' });
    clock.pass(65);
    expect(outputLines()).toEqual(['== plan', 'plan, 30 s', 'plan, 1 min 00 s']);
    reporter.stop();
    expect(clock.running).toBe(0);
  });

  it('writes no control characters, whatever servers send', () => {
    const { reporter, counters, clock, output } = setUp();
    const evil = 'evil\u001b[2J\u009b1A\u0007\r\nnext\u202e';
    counters.artifactsTotal = 1;
    counters.throttled.set(evil, 1);
    reporter.emit({ type: 'phase', phase: evil });
    reporter.emit({ type: 'notice', level: 'warning', message: evil });
    reporter.emit({ type: 'artifact-finished', outcome: { ...copied(evil), targets: [evil] } });
    reporter.emit({ type: 'failed', failure: failure(evil, { cause: evil, remedy: evil, host: evil }) });
    clock.pass(10);
    const failures = [failure(evil, { cause: evil, remedy: evil, reference: `r${evil}` })];
    reporter.emit({ type: 'run-finished', job: evil, ok: false, totals, failures, files: [evil] });
    expect(output()).toMatch(/^[\n\u0020-\u007e\u00a0-\u200a\u2010-\u2027\u2030-\u2065]+$/);
    expect(output().match(/evil/g)?.length).toBeGreaterThan(8);
  });

  it('masks secrets in everything it prints', () => {
    const { reporter, counters, mask, clock, output } = setUp();
    mask.add('correct horse\nbattery');
    const secret = 'x correct horse\nbattery y';
    const base64 = Buffer.from('correct horse\nbattery').toString('base64');
    counters.artifactsTotal = 1;
    reporter.emit({ type: 'notice', level: 'info', message: secret });
    reporter.emit({ type: 'notice', level: 'warning', message: base64 });
    reporter.emit({ type: 'phase', phase: 'copy' });
    reporter.emit({ type: 'retry', host: 'h', what: 'w', reason: secret, delaySeconds: 1, attempt: 1 });
    clock.pass(10);
    const failures = [failure('a', { cause: secret, remedy: encodeURIComponent('correct horse\nbattery') })];
    reporter.emit({ type: 'run-finished', job: 'eks', ok: false, totals, failures });
    expect(output()).not.toMatch(/correct|battery/);
    expect(output()).not.toContain(base64);
    expect(output().match(/\*{6}/g)?.length).toBeGreaterThanOrEqual(5);
  });

  it('tells a warning once, and again at the end when much was written since', () => {
    const { reporter, output } = setUp();
    for (let times = 0; times < 3; times++) reporter.emit({ type: 'notice', level: 'warning', message: 'early' });
    for (let index = 0; index < 40; index++) {
      reporter.emit({ type: 'artifact-finished', outcome: copied(`image-${index}`) });
    }
    reporter.emit({ type: 'notice', level: 'warning', message: 'late' });
    expect(output().match(/early/g)).toHaveLength(1);
    reporter.emit({ type: 'run-finished', job: 'eks', ok: true, totals, failures: [] });
    expect(output()).toContain('warnings:\n  early\n');
    expect(output().match(/late/g)).toHaveLength(1);
    expect(output()).toContain('… and 30 more');
  });

  it('survives a reader that goes away', async () => {
    const { stream, reporter } = setUp();
    stream.destroy(new Error('EPIPE'));
    await sleep(1);
    reporter.emit({ type: 'phase', phase: 'copy' });
    reporter.emit({ type: 'run-finished', job: 'eks', ok: true, totals, failures: [] });
  });
});

describe('output at a terminal', () => {
  it('keeps finished artifacts above a block that changes in place and is gone at the end', async () => {
    const { reporter, counters, clock, outputLines, output } = setUp({ interactive: true });
    Object.assign(counters, { artifactsTotal: 2, expectedBytes: 100e6 });
    reporter.emit({ type: 'phase', phase: 'copy' });
    reporter.emit({ type: 'artifact-started', artifact: 'quay.io/under-way:1' });
    // The block's library comes in on the side.
    await import('log-update');
    await sleep(5);
    counters.writtenBytes = 50e6;
    clock.pass(1);
    expect(output()).toContain('  0 of 2 artifacts, 50.0 MB of 100 MB');
    expect(output()).toContain('  now: quay.io/under-way:1');
    reporter.emit({ type: 'artifact-finished', outcome: copied('quay.io/under-way:1') });
    const before = output().length;
    counters.artifactsDone = 2;
    clock.pass(0.3);
    const frame = output().slice(before);
    expect(frame.indexOf('copied     quay.io/under-way:1')).toBeGreaterThanOrEqual(0);
    expect(frame.indexOf('copy, 1 s')).toBeGreaterThan(frame.indexOf('copied'));
    reporter.emit({ type: 'run-finished', job: 'eks', ok: true, totals, failures: [] });
    // What follows the last erasure is the summary alone.
    expect(output().slice(output().lastIndexOf('\u001b[2K'))).not.toContain('2 of 2 artifacts');
    expect(outputLines()).toContain('eks: done in 1.3 s');
    expect(clock.running).toBe(0);
  });

  it('leaves lines whole, however narrow the terminal is, and breaks the progress behind commas', async () => {
    const { stream, reporter, counters, clock, output } = setUp({ interactive: true });
    stream.columns = 40;
    Object.assign(counters, { artifactsTotal: 2, expectedBytes: 100e6 });
    reporter.emit({ type: 'phase', phase: 'copy' });
    await import('log-update');
    await sleep(5);
    for (let second = 0; second < 4; second++) {
      clock.pass(1);
      counters.writtenBytes += 10e6;
    }
    const name = `registry.example.com/${'a'.repeat(40)}:1`;
    reporter.emit({ type: 'artifact-finished', outcome: { ...copied(name), targets: ['ecr/a:1'] } });
    const before = output().length;
    clock.pass(0.3);
    const frame = output().slice(before);
    expect(frame).toContain(`copied     ${name} -> ecr/a:1  (1.00 MB, 0.5 s)\n`);
    expect(frame.replaceAll('\u001b[K', '')).toMatch(
      /\n {2}0 of 2 artifacts, 40\.0 MB of 100 MB,\n {2}[\d.]+ MB\/s, about [\d.]+ s left\n/,
    );
    reporter.stop();
  });

  it('measures from the first byte on, and says what is left of the time when it can know', async () => {
    const { reporter, counters, clock, output } = setUp({ interactive: true });
    Object.assign(counters, { artifactsTotal: 2, expectedBytes: 1e9 });
    reporter.emit({ type: 'phase', phase: 'copy' });
    await import('log-update');
    await sleep(5);
    const frameAfter = (tenths: number): string => {
      const before = output().length;
      for (let tenth = 0; tenth < tenths; tenth++) {
        clock.pass(0.1);
        counters.writtenBytes += 1e6;
      }
      return output().slice(before);
    };
    clock.pass(4);
    const first = frameAfter(10);
    expect(first).toContain('MB/s');
    expect(first).not.toContain('left');
    // 97 s at ten million bytes a second; with the four idle seconds it would be twice as many.
    expect(frameAfter(20)).toMatch(/about 1 min [34]\d s left/);
    reporter.stop();
  });

  it('loses no line when it is stopped at once', () => {
    const { reporter, output } = setUp({ interactive: true });
    reporter.emit({ type: 'notice', level: 'info', message: 'hello' });
    reporter.stop();
    expect(output()).toBe('hello\n');
  });

  it('is coloured only where it is wanted', () => {
    const [plain, coloured] = [setUp({ interactive: true }), setUp({ interactive: true, color: true })];
    for (const { reporter } of [plain, coloured]) {
      reporter.emit({ type: 'artifact-finished', outcome: copied('a:1') });
      reporter.stop();
    }
    expect(plain.output()).toMatch(/^copied {5}a:1/);
    expect(coloured.output()).toContain('\u001b[32mcopied\u001b[39m     a:1');
  });
});
