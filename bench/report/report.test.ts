import { describe, expect, it } from 'vitest';
import { newCounters } from '../relay/counters.ts';
import { refusal, type Run } from '../run.ts';
import { type BenchReport, renderReport } from './document.ts';
import { summarize } from './summary.ts';

function run(tool: Run['tool'], seconds: number, rest: Partial<Run> = {}): Run {
  const side = { ...newCounters(), relayCpuSeconds: 0.1 };
  return {
    corpus: 'eks',
    profile: 'wan-put10',
    scenario: 'cold',
    repetition: 1,
    tool,
    title: tool,
    seconds,
    exitStatus: 0,
    timedOut: false,
    lacking: { tags: 0, manifests: 0, blobs: 0, corrupt: 0 },
    complete: true,
    cpuSeconds: 2,
    peakRssBytes: 50 * 2 ** 20,
    source: { ...side, bytesToClient: 1_234_000_000, requests: { ...side.requests, 'blob-get': 1500 } },
    target: { ...side, bytesToServer: 1_235_000_000, requests: { ...side.requests, 'manifest-put': 120 } },
    ...rest,
  };
}

const lacking = { tags: 2, manifests: 0, blobs: 1, corrupt: 0 };

function report(runs: readonly Run[]): BenchReport {
  return {
    kind: 'image-replication/bench',
    version: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    machine: { cpu: 'Fast CPU', cores: 2, memoryBytes: 8 * 2 ** 30, system: 'Linux 6', node: 'v20.19.0' },
    versions: { ours: 'abc', crane: 'v1.2.3' },
    settings: { scale: 1, seed: 'bench', repetitions: 3 },
    manifests: { eks: { cold: 120, incr: 12 } },
    interrupted: false,
    runs: [...runs],
  };
}

describe('summaries', () => {
  it('compare medians with that of the quickest peer', () => {
    const [only, ...more] = summarize([
      ...[9, 8, 40].map((seconds) => run('ours', seconds)),
      ...[20, 10, 12].map((seconds) => run('regsync', seconds)),
      ...[24, 24, 24].map((seconds) => run('crane', seconds)),
    ]);
    expect(more).toEqual([]);
    expect(only?.tools.map(({ tool, seconds, ratio }) => [tool, seconds?.median, ratio])).toEqual([
      ['ours', 9, 0.75],
      ['regsync', 12, 1],
      ['crane', 24, 2],
    ]);
  });

  it('leave incomplete and refused runs out of every figure, and say how many there were', () => {
    const [only] = summarize([
      run('crane', 1, { complete: false, exitStatus: 1, lacking }),
      run('crane', 2, { refused: 'the source relay was busy' }),
      run('crane', 10),
      run('skopeo', 3, { complete: false }),
    ]);
    expect(only?.tools).toMatchObject([
      { tool: 'crane', runs: 3, complete: 2, refused: 1, seconds: { median: 10, min: 10, max: 10 }, ratio: 1 },
      { tool: 'skopeo', runs: 1, complete: 0, seconds: undefined, ratio: undefined },
    ]);
  });

  it('have no ratio without peers', () => {
    expect(summarize([run('ours', 5)])[0]?.tools[0]).toMatchObject({ ratio: undefined, seconds: { median: 5 } });
  });

  it('keep cases apart', () => {
    const cases = summarize([run('ours', 5), run('ours', 1, { scenario: 'noop' }), run('ours', 4, { profile: 'wan' })]);
    expect(cases.map(({ profile, scenario }) => `${profile} ${scenario}`)).toEqual([
      'wan-put10 cold',
      'wan-put10 noop',
      'wan cold',
    ]);
  });
});

describe('a run during which a relay was busy', () => {
  it('is refused beyond 85 % of a core, on either side', () => {
    expect(refusal(10, { source: 8.4, target: 8.4 })).toBeUndefined();
    expect(refusal(10, { source: 8.6, target: 1 })).toContain('source relay was busy for 86 %');
    expect(refusal(10, { source: 1, target: 9.9 })).toContain('target relay was busy for 99 %');
  });
});

describe('the report', () => {
  const runs = [
    run('ours', 11.25),
    run('crane', 13, { complete: false, exitStatus: 1, lacking, othersCpuSeconds: 6.5 }),
    run('crane', 14.04, { repetition: 2, target: { ...run('crane', 1).target, statuses: { '429': 34 } } }),
  ];

  it('on a terminal: aligned columns, and what to know about them', () => {
    const text = renderReport(report(runs), false);
    expect(text).toBe(`2 cores (Fast CPU), 8 GiB, Linux 6, Node v20.19.0, 2026-01-02.
ours abc, crane v1.2.3.
Medians of the complete ones among 3 runs; ratio to the quickest peer; scale 1.

eks, wan-put10, cold
tool   seconds (min–max)  ratio  complete  CPU s  peak MiB  MB source/target  requests source/target  429
ours    11.3 (11.3–11.3)   0.80    1 of 1    2.0        50     1,234 / 1,235             1,500 / 120    0
crane   14.0 (14.0–14.0)   1.00    1 of 2    2.0        50     1,234 / 1,235             1,500 / 120   17
  floor 11.0 s: 120 manifests, 10 a second after a burst of 10
  other programs used up to 25 % of the machine, during 1 of 3 runs
  crane, repetition 1: incomplete, 2 tags, 1 blob lacking; exit status 1
`);
  });

  it('in Markdown: the same as a table that GitHub shows', () => {
    const text = renderReport(report(runs), true);
    expect(text).toContain('\n### eks, wan-put10, cold\n\n| tool | seconds (min–max) | ratio |');
    expect(text).toContain('\n| --- | ---: |');
    expect(text).toContain('\n| ours | 11.3 (11.3–11.3) | 0.80 | 1 of 1 | 2.0 | 50 |');
    expect(text).toContain('\n\n- floor 11.0 s');
  });

  it('says that a run was refused, ended or built on an incomplete one', () => {
    const text = renderReport(
      report([
        run('ours', 1, { refused: 'the source relay was busy for 99 % of the run' }),
        run('crane', 1, { complete: false }),
        run('skopeo', 1, { complete: false, exitStatus: undefined, timedOut: true, lacking }),
        run('regsync', 1, { complete: false, exitStatus: 4 }),
      ]),
      false,
    );
    expect(text).toContain('ours, repetition 1: refused, the source relay was busy for 99 % of the run');
    expect(text).toContain('crane, repetition 1: follows an incomplete run');
    expect(text).toContain('skopeo, repetition 1: incomplete, 2 tags, 1 blob lacking; stopped at the time limit');
    expect(text).toContain('regsync, repetition 1: exit status 4');
    expect(renderReport({ ...report([]), interrupted: true }, true)).toContain('Interrupted');
  });
});
