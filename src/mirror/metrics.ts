import type { MirrorSection } from '../sources/mirror/mirror-file.ts';
import type { ImageState } from './tracking.ts';
import type { SectionState } from './schedule.ts';

/** Numbers about the mirror, in the text format of Prometheus. */
export interface MirrorMetrics {
  /** Whether the file that lies there is the one in force. */
  configuration(valid: boolean): void;
  /** A pass has ended; `bytes` were sent to the target. */
  passEnded(result: 'ok' | 'failed', seconds: number, bytes: number): void;
  /** What the database says now. */
  state(
    sections: readonly MirrorSection[],
    states: ReadonlyMap<string, SectionState>,
    images: readonly ImageState[],
  ): void;
  /** https://prometheus.io/docs/instrumenting/exposition_formats/ */
  text(): Promise<string>;
  readonly contentType: string;
}

const prefix = 'image_replication_mirror_';

/** A registry of its own: nothing here is shared between two of them. */
export async function mirrorMetrics(): Promise<MirrorMetrics> {
  const { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } = (await import('prom-client')).default;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: prefix + name, help, labelNames, registers });
  const valid = gauge('config_valid', '1 when the mirror file that lies there is in force');
  const sectionCount = gauge('sections', 'sections of the mirror file');
  const imageCount = gauge('images', 'tracked images by state', ['state']);
  const failures = gauge('section_failures', 'failed attempts since the last good one', ['section']);
  const checked = gauge('section_checked_timestamp_seconds', 'when the section was last looked at', ['section']);
  const next = gauge('section_next_timestamp_seconds', 'when the section is due again; absent for never', ['section']);
  const passes = new Counter({
    name: `${prefix}passes_total`,
    help: 'passes by result',
    labelNames: ['result'],
    registers,
  });
  const bytes = new Counter({ name: `${prefix}written_bytes_total`, help: 'bytes sent to the target', registers });
  const duration = new Histogram({
    name: `${prefix}pass_duration_seconds`,
    help: 'how long passes take',
    buckets: [1, 5, 15, 60, 300, 900, 3600],
    registers,
  });
  for (const result of ['ok', 'failed']) passes.inc({ result }, 0);
  return {
    configuration: (good) => valid.set(good ? 1 : 0),
    passEnded(result, seconds, written) {
      passes.inc({ result });
      duration.observe(seconds);
      bytes.inc(written);
    },
    state(sections, states, images) {
      sectionCount.set(sections.length);
      imageCount.set({ state: 'failed' }, images.filter(({ error }) => error !== undefined).length);
      imageCount.set({ state: 'ok' }, images.filter(({ error }) => error === undefined).length);
      for (const each of [failures, checked, next]) each.reset();
      for (const { name } of sections) {
        const state = states.get(name);
        if (state === undefined) continue;
        failures.set({ section: name }, state.failures);
        checked.set({ section: name }, state.checked / 1000);
        if (state.next !== undefined) next.set({ section: name }, state.next / 1000);
      }
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
