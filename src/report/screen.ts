import type { Writable } from 'node:stream';
import { lineWriter } from './line-writer.ts';

/** Where text goes: lines that stay, and, at a terminal, a block below them that changes in place. */
export interface Screen {
  line(text: string): void;
  /** Shows lines that stay and the block's present content. */
  draw(block: readonly string[]): void;
  /** Takes the block away; lines can still be written. */
  close(): void;
}

/** Lines only, at once: for logs. */
export function plainScreen(stream: Writable): Screen {
  return { line: lineWriter(stream), draw: () => undefined, close: () => undefined };
}

/** What log-update's renderer offers, as far as it is used here. */
interface Block {
  (text: string): void;
  clear(): void;
}

/**
 * Lines above a live block. Lines wait for the next `draw`, so that many of them cost one repaint. The block's
 * library is loaded on the side: until it is there, lines are written as they are.
 */
export function liveScreen(stream: Writable): Screen {
  const write = lineWriter(stream);
  let waiting: string[] = [];
  let block: Block | undefined;
  let closed = false;
  const flush = (): void => {
    const ready = waiting;
    waiting = [];
    if (ready.length > 0) block?.clear();
    // As they are: where a line is broken, a name in it can no longer be copied from the terminal as one.
    for (const text of ready) write(text);
  };
  void import('log-update').then(
    ({ createLogUpdate }) => {
      // The cursor is left alone: hiding it outlives a killed process.
      if (!closed) block = createLogUpdate(stream, { showCursor: true });
    },
    // Without it there are lines, and no block.
    () => undefined,
  );
  return {
    line(text) {
      if (closed) write(text);
      else waiting.push(text);
    },
    draw(content) {
      if (closed || !stream.writable) return;
      stream.cork();
      flush();
      if (content.length > 0) block?.(content.join('\n'));
      else block?.clear();
      stream.uncork();
    },
    close() {
      if (closed) return;
      block?.clear();
      flush();
      closed = true;
    },
  };
}
