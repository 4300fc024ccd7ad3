import type { Writable } from 'node:stream';

/** Writes lines to a stream. A reader that goes away (`… | head`) ends the output, not the run. */
export function lineWriter(stream: Writable): (line: string) => void {
  let broken = false;
  stream.on('error', () => {
    broken = true;
  });
  return (line) => {
    if (!broken && stream.writable) stream.write(`${line}\n`);
  };
}
