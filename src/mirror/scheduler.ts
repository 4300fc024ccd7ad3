import { type ReplicationError, toReplicationError } from '../model/errors.ts';
import type { MirrorFile, MirrorSection } from '../sources/mirror/mirror-file.ts';
import type { Clock } from './clock.ts';
import { dueSections, dueTime, stateAfter } from './schedule.ts';
import type { Tracking } from './tracking.ts';

/** What the scheduler tells whoever watches it. */
export interface SchedulerEvents {
  /** It is alive; at least every {@link pollMs}, and not while a pass is under way. */
  awake(): void;
  /** The file was read for the first time, or has changed. */
  loaded(file: MirrorFile): void;
  /** The file has changed and cannot be used: the one before goes on. Told once for each change. */
  refused(error: ReplicationError): void;
  passBegan(sections: readonly MirrorSection[]): void;
  /** @param error what ended the whole pass, not a section's own failure */
  passEnded(error: ReplicationError | undefined): void;
  /** @param next milliseconds since 1970; `undefined`: nothing is due ever */
  waiting(next: number | undefined): void;
}

export interface SchedulerPorts {
  readonly clock: Clock;
  readonly tracking: Tracking;
  /** Names the target in fingerprints. */
  readonly target: string;
  /** Reads the file. @returns its text, to tell whether it has changed, and what it means */
  readonly read: () => Promise<{ readonly text: string; readonly parse: () => MirrorFile }>;
  /** Mirrors sections and records what came of it. @returns the names of those that were recorded */
  readonly pass: (sections: readonly MirrorSection[]) => Promise<readonly string[]>;
  readonly random: () => number;
  readonly events: SchedulerEvents;
  /** Ends the waiting; a pass that is under way is waited for. */
  readonly signal: AbortSignal;
}

/**
 * How often the file is looked at, in milliseconds. By reading it: a ConfigMap changes by links being exchanged, which
 * file watchers miss (https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically).
 */
export const pollMs = 15_000;

/** Mirrors what is due, for ever. @throws what is wrong with the file at its start */
export async function runScheduler(ports: SchedulerPorts): Promise<void> {
  const { clock, events, signal, tracking } = ports;
  let current = await load(ports);
  let states = tracking.sections();
  let announced = false;
  while (!signal.aborted) {
    events.awake();
    const before = current.file;
    current = await reload(ports, current);
    if (current.file !== before) states = tracking.sections();
    const { sections } = current.file;
    const options = { target: ports.target, retryFailed: false };
    const due = dueSections(sections, states, { ...options, now: clock.now() });
    if (due.length > 0) {
      await attempt(ports, due);
      states = tracking.sections();
      announced = false;
      continue;
    }
    const times = sections.flatMap((section) => dueTime(section, states.get(section.name), options) ?? []);
    const next = times.length === 0 ? undefined : Math.min(...times);
    if (!announced) events.waiting(next);
    announced = true;
    await clock.sleep(Math.min(pollMs, Math.max(0, (next ?? Infinity) - clock.now())), signal);
  }
}

interface Loaded {
  readonly file: MirrorFile;
  /** What the file held when it was last looked at. */
  readonly text: string | undefined;
  /** Why that is not in force. */
  readonly refused?: string;
}

async function load({ read, tracking, events }: SchedulerPorts): Promise<Loaded> {
  const { text, parse } = await read();
  const file = parse();
  tracking.keepOnly(file.sections.map(({ name }) => name));
  events.loaded(file);
  return { text, file };
}

/** Takes a changed file, or keeps to the one before and says why: once for each reason, not with every look. */
async function reload(ports: SchedulerPorts, current: Loaded): Promise<Loaded> {
  let text: string | undefined;
  try {
    text = (await ports.read()).text;
    return text === current.text ? current : await load(ports);
  } catch (thrown) {
    const error = toReplicationError(thrown);
    if (error.message !== current.refused) ports.events.refused(error);
    return { file: current.file, text, refused: error.message };
  }
}

/** A pass that ends as a whole leaves its sections as failed, so that they wait for their turn. */
async function attempt(ports: SchedulerPorts, due: readonly MirrorSection[]): Promise<void> {
  const { clock, events, signal, tracking, target } = ports;
  const before = tracking.sections();
  events.passBegan(due);
  let recorded: readonly string[] = [];
  let error: ReplicationError | undefined;
  try {
    recorded = await ports.pass(due);
  } catch (thrown) {
    error = toReplicationError(thrown);
  }
  // What was cut short by a stop stays due.
  if (!signal.aborted) {
    const result = { kind: 'failed', error: error?.message ?? 'the pass ended before it was done' } as const;
    const how = { now: clock.now(), target };
    const states = due
      .filter(({ name }) => !recorded.includes(name))
      .map((section) => stateAfter(section, before.get(section.name), result, { ...how, random: ports.random() }));
    tracking.record(states, []);
  }
  events.passEnded(error);
}
