import { resolve } from 'node:path';
import { dueTime, type SectionState } from '../mirror/schedule.ts';
import { resolveWanted, sourceText } from '../mirror/pass.ts';
import type { Tracking } from '../mirror/tracking.ts';
import { type Plan, planVersion } from '../model/plan.ts';
import { failureOf } from '../model/result.ts';
import { jsonText, writeFiles } from '../publish/files.ts';
import type { MirrorFile } from '../sources/mirror/mirror-file.ts';
import { announceRequests } from './announce.ts';
import { mirrorRequests } from './mirror-pass.ts';
import type { MirrorSettings } from './mirror-settings.ts';
import { openMirrorStores } from './mirror-stores.ts';
import { tellEstimate } from './plan-estimate.ts';
import { platformTexts } from './platform-text.ts';
import type { JobResult, Session } from './session.ts';

/** Finds out every tag and says what is mirrored where, and when it is due; copies nothing. */
export async function planMirror(
  session: Session,
  settings: MirrorSettings,
  file: MirrorFile,
  tracking: Tracking | undefined,
  out: string,
): Promise<JobResult> {
  const stores = await openMirrorStores(session, settings);
  try {
    const { images, unresolved } = await resolveWanted(file.sections, ({ registry, repository }) =>
      stores.source(registry).listTags(repository, session.signal),
    );
    const states = tracking?.sections() ?? new Map<string, SectionState>();
    const root = `${stores.target.name}/${stores.path}`;
    session.reporter.emit({ type: 'run-started', job: 'mirror', target: root });
    const requests = mirrorRequests(images, stores);
    announceRequests(session.reporter, requests);
    const due = new Map(
      file.sections.map((section) => [
        section.name,
        dueText(dueTime(section, states.get(section.name), { target: settings.targetKey, retryFailed: true })),
      ]),
    );
    for (const image of images) {
      const message = `${sourceText(image)} -> ${root}${image.target}:${image.source.tag}, ${due.get(image.section) ?? ''}`;
      session.reporter.emit({ type: 'notice', level: 'info', message });
    }
    const planned = images.map((image) => ({
      kind: 'image' as const,
      source: sourceText(image),
      platforms: platformTexts(image.platforms),
      targets: [`${root}${image.target}:${image.source.tag}`],
      origins: [{ path: `[${image.section}]`, file: file.file }],
    }));
    const plan: Plan = {
      version: planVersion,
      job: 'mirror',
      images: planned.sort((a, b) => (a.source < b.source ? -1 : 1)),
      charts: [],
    };
    const files = await writeFiles(resolve(out), { 'plan.json': jsonText(plan) });
    const unread = await tellEstimate(session, requests);
    return {
      failures: [...unresolved.map(({ section, error }) => failureOf(`[${section}]`, error)), ...unread],
      totals: undefined,
      files,
      report: { plan },
    };
  } finally {
    await stores.close();
  }
}

function dueText(time: number | undefined): string {
  if (time === undefined) return 'done for good';
  return time <= Date.now() ? 'due' : `due at ${new Date(time).toISOString()}`;
}
