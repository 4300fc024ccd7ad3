import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What was seen of processes and short-lived files while the program ran. */
export interface Sightings {
  /** Argument lists, one text a process, words separated by blanks. */
  readonly commands: ReadonlySet<string>;
  /** Content of files below the watched folder that may be gone by now, by path. */
  readonly files: ReadonlyMap<string, Buffer>;
  stop(): void;
}

/** Files above this size are programs and layers; theirs is content that was verified against its digest. */
const maxBytes = 4 * 1024 * 1024;

/** Looks at all processes of this machine, and at a folder for temporary files, many times a second. */
export function watch(folder: string): Sightings {
  const commands = new Set<string>();
  const files = new Map<string, Buffer>();
  const look = (): void => {
    for (const command of runningCommands()) commands.add(command);
    for (const [path, content] of filesBelow(folder)) files.set(path, content);
  };
  const timer = setInterval(look, 20);
  return {
    commands,
    files,
    stop() {
      clearInterval(timer);
      look();
    },
  };
}

function runningCommands(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
      } catch {
        // It has ended since.
        return [];
      }
    });
}

/** Every file in a folder, with its content; what vanishes meanwhile is left out. */
export function filesBelow(folder: string): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  const visit = (directory: string): void => {
    let names: readonly string[];
    try {
      names = readdirSync(directory);
    } catch {
      return;
    }
    for (const name of names) {
      const path = join(directory, name);
      try {
        const stat = statSync(path);
        if (stat.isDirectory()) visit(path);
        else if (stat.isFile() && stat.size <= maxBytes) found.set(path, readFileSync(path));
      } catch {
        // Gone already.
      }
    }
  };
  visit(folder);
  return found;
}
