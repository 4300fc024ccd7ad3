import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe } from 'vitest';

/** The checkout's root folder. */
export const root = join(import.meta.dirname, '..');

/**
 * Where a program that scripts/setup.sh fetches is (`helm3`, `helm4`, `registry`, `skopeo`, `moto_server`, `seedfarmer`,
 * `cfn-lint`, `python`), else where PATH has it, else `undefined`.
 */
export function tool(name: string): string | undefined {
  const folders = [join(root, '.tools/bin'), join(root, '.venv/bin'), ...(process.env['PATH'] ?? '').split(delimiter)];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** Where a tool is, in tests that `describeWith` guards. @throws Error when it is not there */
export function requireTool(name: string): string {
  const path = tool(name);
  if (path === undefined) throw new Error(`${name} is not there: run npm run setup`);
  return path;
}

/** `describe` for tests that need tools: without them they are skipped loudly, and fail under CI=true. */
export function describeWith(tools: readonly string[], name: string, tests: () => void): void {
  const missing = tools.filter((each) => tool(each) === undefined);
  if (missing.length === 0) {
    describe(name, tests);
    return;
  }
  const reason = `${missing.join(', ')} not there: run npm run setup`;
  if (process.env['CI'] === 'true') throw new Error(`${name}: ${reason}`);
  process.stderr.write(`\nSKIPPED ${name}: ${reason}\n`);
  describe.skip(`${name} (${reason})`, tests);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
