import type { Writable } from 'node:stream';
import { Command, InvalidArgumentError } from 'commander';

/** Where a benchmark speaks to whoever started it. */
export interface BenchStreams {
  /** The tables. */
  readonly stdout: Writable;
  /** What is going on. */
  readonly stderr: Writable;
}

/** A command that writes its help and its complaints to these streams, and throws instead of ending the process. */
export function benchCommand(name: string, { stdout, stderr }: BenchStreams): Command {
  return new Command(name)
    .configureOutput({ writeOut: (text) => stdout.write(text), writeErr: (text) => stderr.write(text) })
    .exitOverride();
}

/** @throws InvalidArgumentError for anything but 1, 2, 3, … */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('Expected a whole number above 0.');
}
