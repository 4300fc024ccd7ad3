import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';

/**
 * Lets this process import TypeScript. Node 20 cannot load it itself; tsx compiles on the fly inside this one process (no
 * build step, no second process). What it compiles is kept beside the dependencies rather than in TMPDIR, which build
 * machines empty: a start with compiled files takes half the time.
 */
export async function allowTypeScript() {
  const before = process.env.TMPDIR;
  const cache = fileURLToPath(new URL('../node_modules/.cache/tsx', import.meta.url));
  try {
    mkdirSync(cache, { recursive: true });
    process.env.TMPDIR = cache;
  } catch {
    // A read-only installation compiles into the usual place.
    process.env.TMPDIR = tmpdir();
  }
  const { register } = await import('tsx/esm/api');
  register();
  // The pinned SDK runs on Node 20; what its next releases need is no concern of whoever reads this program's output.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
}
