import { type Clock, systemClock } from '../mirror/clock.ts';
import { type Health, startHealthServer } from '../mirror/health-server.ts';
import { type MirrorMetrics, mirrorMetrics } from '../mirror/metrics.ts';
import { pollMs, runScheduler, type SchedulerEvents } from '../mirror/scheduler.ts';
import type { Tracking } from '../mirror/tracking.ts';
import { type ReplicationError, toReplicationError } from '../model/errors.ts';
import { type MirrorFile, type MirrorSection, parseMirrorFile, readMirrorText } from '../sources/mirror/mirror-file.ts';
import { openDatabase } from './mirror-database.ts';
import { type MirrorRun, runMirrorPass } from './mirror-pass.ts';
import { type MirrorCommand, type MirrorSettings, mirrorSettings, withPlatforms } from './mirror-settings.ts';
import { type Environment, runJob } from './run.ts';

/**
 * Runs as a scheduler until SIGTERM or SIGINT: what is under way then has the grace time that every run has (20 s), what
 * was not begun stays due. Each pass is a run of its own, with connections, record and summary of its own.
 */
export async function serveMirror(
  command: MirrorCommand,
  environment: Environment,
  clock: Clock = systemClock,
): Promise<void> {
  const settings = mirrorSettings(command, environment.env);
  const say = speaker(command.json === true, environment);
  const stop = stopOnSignals();
  const tracking = await openDatabase(settings, say);
  try {
    const metrics = await mirrorMetrics();
    const watch = watcher({ clock, metrics, tracking, say });
    const server = await startHealthServer(command.port, watch.health, metrics);
    say(`/healthz and /metrics are answered on port ${server.port}`);
    try {
      await runScheduler({
        clock,
        tracking,
        target: settings.targetKey,
        read: async () => {
          const text = await readMirrorText(settings.config);
          return { text, parse: () => withPlatforms(parseMirrorFile(text, settings.config), settings) };
        },
        pass: async (sections) => onePass(command, environment, settings, tracking, sections, watch.passDone),
        random: () => Math.random(),
        events: watch.events,
        signal: stop.signal,
      });
      say('stopped in good order');
    } finally {
      await server.close();
    }
  } finally {
    stop.dispose();
    tracking.close();
  }
}

/** @returns the names of the sections that were brought to an end @throws what ended the pass as a whole */
async function onePass(
  command: MirrorCommand,
  environment: Environment,
  settings: MirrorSettings,
  tracking: Tracking,
  sections: readonly MirrorSection[],
  done: (run: MirrorRun | undefined) => void,
): Promise<readonly string[]> {
  const result: { run?: MirrorRun; error?: ReplicationError } = {};
  await runJob(
    'mirror',
    command,
    async (session) => {
      try {
        const run = await runMirrorPass(session, settings, tracking, sections);
        result.run = run;
        return { failures: run.failures, totals: run.totals };
      } catch (error) {
        result.error = toReplicationError(error);
        throw error;
      }
    },
    environment,
  );
  done(result.run);
  if (result.error !== undefined) throw result.error;
  return result.run?.recorded ?? [];
}

interface Watched {
  readonly clock: Clock;
  readonly metrics: MirrorMetrics;
  readonly tracking: Tracking;
  readonly say: (message: string) => void;
}

/** Silence after which the scheduler is taken for dead, in milliseconds: it looks at its file every 15 s. */
const silenceMs = 4 * pollMs;

/** Turns what the scheduler does into health, metrics and lines of text. */
function watcher({ clock, metrics, tracking, say }: Watched) {
  let file: MirrorFile | undefined;
  let awake = clock.now();
  let began: number | undefined;
  let last: MirrorRun | undefined;
  const count = (): void => metrics.state(file?.sections ?? [], tracking.sections(), tracking.images());
  const events: SchedulerEvents = {
    awake: () => (awake = clock.now()),
    loaded(loaded) {
      file = loaded;
      metrics.configuration(true);
      count();
      say(`${loaded.file}: ${loaded.sections.length} sections`);
    },
    refused(error) {
      metrics.configuration(false);
      say(`the changed mirror file is not taken, the one before stays in force: ${error.message}`);
    },
    passBegan(sections) {
      began = clock.now();
      last = undefined;
      say(`due: ${sections.map(({ name }) => `[${name}]`).join(' ')}`);
    },
    passEnded(error) {
      const failed = error !== undefined || last === undefined || last.failures.length > 0;
      metrics.passEnded(failed ? 'failed' : 'ok', (clock.now() - (began ?? 0)) / 1000, last?.totals?.bytesWritten ?? 0);
      began = undefined;
      awake = clock.now();
      count();
    },
    waiting: (next) =>
      say(next === undefined ? 'nothing is due ever again' : `next at ${new Date(next).toISOString()}`),
  };
  const health = (): Health => {
    if (began !== undefined) return { healthy: true, text: `mirroring since ${new Date(began).toISOString()}` };
    const silent = clock.now() - awake;
    if (silent > silenceMs) return { healthy: false, text: `the scheduler has been silent for ${silent / 1000} s` };
    return { healthy: true, text: 'ok' };
  };
  return { events, health, passDone: (run: MirrorRun | undefined) => (last = run) };
}

/** Between passes there is no session: its lines go out as they are, or as events in JSON. */
function speaker(json: boolean, { stdout }: Environment): (message: string) => void {
  return (message) => {
    const event = { type: 'notice', level: 'info', message };
    stdout.write(`${json ? JSON.stringify({ time: new Date().toISOString(), ...event }) : message}\n`);
  };
}

function stopOnSignals(): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const onSignal = (): void => controller.abort();
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  return {
    signal: controller.signal,
    dispose: () => void process.off('SIGTERM', onSignal).off('SIGINT', onSignal),
  };
}
