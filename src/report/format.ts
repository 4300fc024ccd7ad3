import { stripVTControlCharacters } from 'node:util';

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** Bytes in decimal units: 1 MB is 10^6 bytes, as registries and networks count (not 2^20). Three digits. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  // 999.5 would be rounded to a fourth digit.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit] ?? ''}`;
}

/** `61.2 MB/s`, of 10^6 bytes. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** `0.4 s`, `5 s`, `12 s`, `3 min 05 s`, `1 h 02 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95 && !Number.isInteger(seconds)) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${pad(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}

/** `1 image`, `2 images`, `1,234 images`. */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `999`, `1,234`. Without a locale, whose first use takes 12 to 20 ms of a start. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** The first items of a list, and how many more there are. */
export function shortened(items: readonly string[], most: number): readonly string[] {
  // "and 1 more" would take the place of the item itself.
  if (items.length <= most + 1) return items;
  return [...items.slice(0, most), `… and ${formatCount(items.length - most)} more`];
}

/** Cut to a width in characters, from the end. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** Lines of at most `width` characters, broken behind commas; a part that is longer is cut. */
export function brokenAtCommas(text: string, width: number): readonly string[] {
  const all: string[] = [];
  for (const part of text.split(/(?<=,) /)) {
    const longer = `${all.at(-1) ?? ''} ${part}`.trimStart();
    if (all.length > 0 && longer.length <= width) all[all.length - 1] = longer;
    else all.push(part);
  }
  return all.map((line) => cut(line, width));
}

// C0 and C1 controls, and the marks that reorder or hide text: what a server sent must not steer a terminal.
// eslint-disable-next-line no-control-regex -- these are the characters that are looked for
const controls = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+/g;

/** One line without control characters. */
export function oneLine(text: string): string {
  return stripVTControlCharacters(text).replace(controls, ' ').trim();
}

/** Lines without control characters, empty ones left out. */
export function lines(text: string): readonly string[] {
  return stripVTControlCharacters(text)
    .split(/\r?\n/)
    .map((line) => line.replaceAll('\t', '  ').replace(controls, ' ').trimEnd())
    .filter((line) => line !== '');
}
