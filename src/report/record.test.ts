import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import type { Failure } from '../model/result.ts';
import { SecretMask } from '../model/secrets.ts';
import { combineReporters } from './combine.ts';
import { jsonReporter } from './json-lines.ts';
import { runRecorder } from './record.ts';

const noon = new Date('2026-01-02T12:00:00Z');
const digest = digestOf('x');
const failure: Failure = {
  artifact: 'b:1',
  side: 'target',
  reference: undefined,
  digest: undefined,
  host: 'ecr',
  code: 'denied',
  cause: 'refused the password "hunter22"',
  remedy: undefined,
};

function secretMask(): SecretMask {
  const mask = new SecretMask();
  mask.add('hunter22');
  mask.add('true');
  return mask;
}

describe('JSON lines', () => {
  it('writes one object per event, with time, masked and still JSON', () => {
    const stream = new PassThrough();
    const reporter = jsonReporter(stream, secretMask(), () => noon);
    reporter.emit({ type: 'phase', phase: 'copy' });
    reporter.emit({ type: 'run-finished', job: 'eks', ok: true, totals: undefined, failures: [failure] });
    const objects = String(stream.read())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(objects).toEqual([
      { time: '2026-01-02T12:00:00.000Z', type: 'phase', phase: 'copy' },
      {
        time: '2026-01-02T12:00:00.000Z',
        type: 'run-finished',
        job: 'eks',
        ok: true,
        failures: [
          { artifact: 'b:1', side: 'target', host: 'ecr', code: 'denied', cause: 'refused the password "******"' },
        ],
      },
    ]);
  });
});

describe('run record', () => {
  it('keeps what happened: the last outcome of each artifact, retries counted, nothing secret', () => {
    const minutes = [0, 1, 2, 3];
    const recorder = runRecorder(secretMask(), () => new Date(noon.getTime() + 60_000 * (minutes.shift() ?? 9)));
    const targets = ['ecr/a:1'];
    recorder.emit({ type: 'run-started', job: 'eks', target: 'ecr/demo-…' });
    recorder.emit({ type: 'phase', phase: 'copy' });
    recorder.emit({ type: 'planned', images: 2, charts: 0, targets: 2, sources: ['quay.io'] });
    recorder.emit({ type: 'notice', level: 'warning', message: 'the secret is hunter22' });
    for (const reason of ['answer 503', 'answer 429', 'answer 429']) {
      recorder.emit({ type: 'retry', host: 'quay.io', what: 'GET', reason, delaySeconds: 1, attempt: 1 });
    }
    recorder.emit({
      type: 'artifact-finished',
      outcome: { kind: 'failed', artifact: 'b:1', targets, failures: [failure] },
    });
    recorder.emit({ type: 'artifact-finished', outcome: { kind: 'unchanged', artifact: 'c:1', targets, digest } });
    expect(recorder.record()).toMatchObject({ ok: false, failures: [{ artifact: 'b:1' }] });
    expect(recorder.record()).not.toHaveProperty('finished');
    recorder.emit({
      type: 'artifact-finished',
      outcome: { kind: 'copied', artifact: 'b:1', targets, digest, bytes: 1, seconds: 1 },
    });
    recorder.emit({ type: 'run-finished', job: 'eks', ok: true, totals: undefined, failures: [], files: ['out/x'] });
    expect(recorder.record()).toEqual({
      version: 1,
      job: 'eks',
      target: 'ecr/demo-…',
      started: '2026-01-02T12:00:00.000Z',
      finished: '2026-01-02T12:02:00.000Z',
      ok: true,
      phases: [{ phase: 'copy', started: '2026-01-02T12:01:00.000Z' }],
      planned: { images: 2, charts: 0, targets: 2 },
      outcomes: [
        { kind: 'copied', artifact: 'b:1', targets, digest, bytes: 1, seconds: 1 },
        { kind: 'unchanged', artifact: 'c:1', targets, digest },
      ],
      failures: [],
      notices: [{ level: 'warning', message: 'the secret is ******' }],
      retries: [
        { host: 'quay.io', reason: 'answer 429', count: 2 },
        { host: 'quay.io', reason: 'answer 503', count: 1 },
      ],
      files: ['out/x'],
    });
  });

  it('can be told as if it ended now, and goes on', () => {
    const recorder = runRecorder(new SecretMask(), () => noon);
    recorder.emit({ type: 'run-started', job: 'eks', target: 'ecr/demo-…' });
    const ending = { ok: true, totals: undefined, failures: [], files: ['out/lock'] };
    expect(recorder.record(ending)).toMatchObject({
      job: 'eks',
      ok: true,
      finished: noon.toISOString(),
      files: ['out/lock'],
    });
    expect(recorder.record()).toMatchObject({ ok: false, files: [] });
    recorder.emit({ type: 'run-finished', job: 'eks', ok: false, totals: undefined, failures: [failure], files: [] });
    expect(recorder.record()).toMatchObject({ ok: false, failures: [{ artifact: 'b:1' }] });
  });

  it('stands beside other reporters', () => {
    const [one, other] = [runRecorder(new SecretMask()), runRecorder(new SecretMask())];
    combineReporters(one, other).emit({ type: 'phase', phase: 'copy' });
    expect([one, other].map((recorder) => recorder.record().phases.length)).toEqual([1, 1]);
  });
});
