import type { Writable } from 'node:stream';
import type { SecretMask } from '../model/secrets.ts';
import type { ProgressCounters, Reporter, RunEvent } from './events.ts';
import { brokenAtCommas, cut, formatDuration, lines, oneLine, shortened } from './format.ts';
import { findingLines } from './findings.ts';
import { masked } from './json-lines.ts';
import { progressText, retriesText, type Speed, SpeedMeter, waitingText } from './progress.ts';
import { liveScreen, plainScreen, type Screen } from './screen.ts';
import { isLeft, outcomeLine, planLine, summaryLines } from './summary.ts';
import { Tally } from './tally.ts';

/** Time as the renderer sees it; replaced in tests. */
export interface ReportClock {
  /** Seconds since any fixed moment. */
  now(): number;
  /** Calls back again and again until the returned function is called. Does not keep the process alive. */
  every(seconds: number, callback: () => void): () => void;
}

export interface ConsoleOptions {
  /** Standard output, or anything like it; `columns` where it is a terminal. */
  readonly stream: Writable & { readonly columns?: number | undefined; hasColors?(): boolean };
  readonly counters: ProgressCounters;
  readonly mask: SecretMask;
  /** A terminal with somebody before it: a live block. Else a log: whole lines, no control characters. */
  readonly interactive: boolean;
  /** Default: where interactive and the terminal has colours (which Node denies when NO_COLOR is set, https://no-color.org). */
  readonly color?: boolean;
  readonly clock?: ReportClock;
}

export interface ConsoleReporter extends Reporter {
  /** Takes the live block away and ends all timers. */
  stop(): void;
}

/** Seconds between two repaints of the live block, and between two progress lines of a log. */
const repaintSeconds = 0.2;
const progressLineSeconds = 10;
/** After so many seconds without a line, a log says that the run is alive. */
const silenceSeconds = 30;
/** A warning that so many lines followed is told again at the end. */
const scrolledAway = 30;

/** Tells people what happens: a live block at a terminal, plain lines in a log; the plan before, a summary after. */
export function consoleReporter(options: ConsoleOptions): ConsoleReporter {
  return new ConsoleRenderer(options);
}

class ConsoleRenderer implements ConsoleReporter {
  readonly #options: ConsoleOptions;
  readonly #clock: ReportClock;
  readonly #screen: Screen;
  readonly #color: boolean;
  readonly #tally = new Tally();
  readonly #meter = new SpeedMeter();
  readonly #started: number;
  /** Warnings with the number of lines that were written before. */
  readonly #warnings = new Map<string, number>();
  #written = 0;
  #lastLine: number;
  #phaseStarted: number;
  #stopTimer: (() => void) | undefined;

  constructor(options: ConsoleOptions) {
    const { stream, interactive } = options;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#screen = interactive ? liveScreen(stream) : plainScreen(stream);
    this.#color = options.color ?? (interactive && stream.hasColors?.() === true);
    this.#started = this.#clock.now();
    this.#lastLine = this.#started;
    this.#phaseStarted = this.#started;
    this.#meter.sample(this.#started, options.counters);
    const tick = interactive ? () => this.#repaint() : () => this.#progressLine();
    this.#stopTimer = this.#clock.every(interactive ? repaintSeconds : progressLineSeconds, tick);
  }

  emit(event: RunEvent): void {
    const safe = masked(event, this.#options.mask);
    this.#tally.add(safe);
    this.#tell(safe);
  }

  stop(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#screen.close();
  }

  #tell(event: RunEvent): void {
    switch (event.type) {
      case 'run-started':
        this.#line(`${event.job} -> ${event.target}`);
        break;
      case 'phase':
        this.#phaseStarted = this.#clock.now();
        this.#line(`== ${event.phase}`, 'bold');
        break;
      case 'planned':
        this.#line(planLine(event));
        break;
      case 'notice':
        this.#notice(event.level, event.message);
        break;
      case 'artifact-finished':
        // What a stop leaves is told at the end, all at once.
        if (!isLeft(event.outcome)) this.#line(outcomeLine(event.outcome), outcomeStyle[event.outcome.kind]);
        break;
      case 'failed':
        this.#line(`failed     ${event.failure.artifact}: ${oneLine(event.failure.cause)}`, 'red');
        break;
      case 'checked':
        for (const line of findingLines(event)) this.#line(line);
        break;
      case 'run-finished':
        this.#finish(event);
        break;
      case 'artifact-started':
      case 'retry':
      case 'image-status':
    }
  }

  #notice(level: 'info' | 'warning', message: string): void {
    if (level === 'warning' && this.#warnings.has(message)) return;
    if (level === 'warning') this.#warnings.set(message, this.#written);
    const [first, ...more] = lines(message);
    this.#line(`${level === 'warning' ? 'warning: ' : ''}${first ?? ''}`, level === 'warning' ? 'yellow' : undefined);
    for (const line of more) this.#line(`  ${line}`);
  }

  #finish(event: Extract<RunEvent, { type: 'run-finished' }>): void {
    this.stop();
    const gone = [...this.#warnings].filter(([, at]) => this.#written - at > scrolledAway).map(([message]) => message);
    const summary = summaryLines(event, this.#tally, gone.map(oneLine), this.#clock.now() - this.#started);
    const bad = [`${event.job}: FAILED`, `${event.job}: STOPPED`];
    for (const line of summary) this.#line(line, bad.some((each) => line.startsWith(each)) ? 'red' : undefined);
  }

  #line(text: string, style?: Style): void {
    this.#written += 1;
    this.#lastLine = this.#clock.now();
    const clean = printable(text);
    this.#screen.line(style !== undefined && this.#color ? painted(clean, style) : clean);
  }

  #progressLine(): void {
    const { counters } = this.#options;
    const now = this.#clock.now();
    const speed = this.#meter.sample(now, counters);
    const copying = counters.artifactsDone < counters.artifactsTotal;
    if (this.#tally.phase === undefined || (!copying && now - this.#lastLine < silenceSeconds)) return;
    this.#line([this.#heading(), ...this.#present(speed)].join('; '));
  }

  #repaint(): void {
    const speed = this.#meter.sample(this.#clock.now(), this.#options.counters);
    if (this.#tally.phase === undefined) {
      this.#screen.draw([]);
      return;
    }
    const width = (this.#options.stream.columns ?? 80) - 1;
    const underWay = [...this.#tally.underWay];
    const now = underWay.length > 0 ? [`now: ${shortened(underWay, 4).join(', ')}`] : [];
    const [first = '', ...others] = this.#present(speed);
    const present = [...brokenAtCommas(first, width - 2), ...others, ...now];
    const block = [this.#heading(), ...present.map((line) => `  ${line}`)];
    this.#screen.draw(block.map((line) => cut(printable(line), width)));
  }

  /** `copy, 12 s` */
  #heading(): string {
    return `${this.#tally.phase ?? ''}, ${formatDuration(Math.round(this.#clock.now() - this.#phaseStarted))}`;
  }

  /** How far it is, and what holds it up. */
  #present(speed: Speed): readonly string[] {
    const { counters } = this.#options;
    const progress = counters.artifactsTotal > 0 ? progressText(counters, speed) : undefined;
    const texts = [progress, waitingText(counters, this.#tally), retriesText(this.#tally, 3)];
    return texts.filter((text) => text !== undefined);
  }
}

const systemClock: ReportClock = {
  now: () => performance.now() / 1000,
  every(seconds, callback) {
    const timer = setInterval(callback, seconds * 1000).unref();
    return () => clearInterval(timer);
  },
};

type Style = keyof typeof codes;

/** ECMA-48 "Select Graphic Rendition": on and off. */
const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;
const outcomeStyle = { copied: 'green', unchanged: 'dim', failed: 'red' } as const;

/** The line with its first word in a style. */
function painted(line: string, style: Style): string {
  const [on, off] = codes[style];
  return line.replace(/^\S+/, (word) => `\u001b[${on}m${word}\u001b[${off}m`);
}

/** No control characters; spaces at the start are kept. */
function printable(text: string): string {
  return lines(text).join(' ');
}
