import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../tools.ts';
import type { Variables } from '../program.ts';

const recorder = pathToFileURL(join(root, 'test/world/record-connections.js')).href;

/**
 * Variables with which the program writes down every connection that it opens.
 * @param to leads `host:port` to a port of this machine, as a name server would
 */
export function recordingConnections(log: string, to: Readonly<Record<string, number>> = {}): Variables {
  return { NODE_OPTIONS: `--import=${recorder}`, CONNECTIONS_LOG: log, CONNECTIONS_TO: JSON.stringify(to) };
}

/** The distinct `host:port` that were connected to. */
export async function connectionsIn(log: string): Promise<readonly string[]> {
  const lines = (await readFile(log, 'utf8')).trim().split('\n');
  return [...new Set(lines)].sort();
}
