import { resolve } from 'node:path';
import { dueTime, type SectionState } from '../mirror/schedule.ts';
import { resolveWanted, sourceText, type WantedImage } from '../mirror/pass.ts';
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
    const root = `${stores.target.name}/${stores.path}`;
    session.reporter.emit({ type: 'run-started', job: 'mirror', target: root });
    const requests = mirrorRequests(images, stores);
    announceRequests(session.reporter, requests);
    const due = dueTexts(file, settings, tracking);
    for (const image of images) {
      const message = `${sourceText(image)} -> ${root}${image.target}:${image.source.tag}, ${due.get(image.section) ?? ''}`;
      session.reporter.emit({ type: 'notice', level: 'info', message });
    }
    const plan = planOf(images, file.file, root);
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

/** When each section is due, in words, by its name. */
function dueTexts(
  { sections }: MirrorFile,
  { targetKey }: MirrorSettings,
  tracking: Tracking | undefined,
): ReadonlyMap<string, string> {
  const states = tracking?.sections() ?? new Map<string, SectionState>();
  const question = { target: targetKey, retryFailed: true };
  return new Map(sections.map((each) => [each.name, dueText(dueTime(each, states.get(each.name), question))]));
}

/** @param root what every target begins with, a slash at its end */
function planOf(images: readonly WantedImage[], file: string, root: string): Plan {
  const planned = images.map((image) => ({
    kind: 'image' as const,
    source: sourceText(image),
    platforms: platformTexts(image.platforms),
    targets: [`${root}${image.target}:${image.source.tag}`],
    origins: [{ path: `[${image.section}]`, file }],
  }));
  return {
    version: planVersion,
    job: 'mirror',
    images: planned.sort((a, b) => (a.source < b.source ? -1 : 1)),
    charts: [],
  };
}

function dueText(time: number | undefined): string {
  if (time === undefined) return 'done for good';
  return time <= Date.now() ? 'due' : `due at ${new Date(time).toISOString()}`;
}
