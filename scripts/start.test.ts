import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const scripts = dirname(fileURLToPath(import.meta.url));
const main = `
import metadata from '../../package.json' with { type: 'json' };
export async function main(argv: string[], { stdout }: { stdout: NodeJS.WriteStream }): Promise<number> {
  const { greeting } = await import('./greeting.ts');
  const outside = await import('outside');
  stdout.write(\`\${greeting} \${argv[2]} \${metadata.version} \${outside.default} \${import.meta.url.endsWith('src/cli/main.ts')}\\n\`);
  return argv[2] === 'fail' ? 1 : 0;
}
`;

describe('a start', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'start-'));
    mkdirSync(join(root, 'src/cli'), { recursive: true });
    mkdirSync(join(root, 'node_modules/node-sqlite3-wasm'), { recursive: true });
    for (const name of ['typescript.js', 'image-replication.js'])
      cpSync(join(scripts, name), join(root, 'scripts', name));
    for (const name of ['esbuild', 'tsx', 'get-tsconfig'])
      symlinkSync(join(scripts, '../node_modules', name), join(root, 'node_modules', name));
    writeFileSync(join(root, 'package.json'), JSON.stringify({ type: 'module', version: '1.2.3' }));
    // Packages that stay outside of what is compiled are found from where it lies.
    writeFileSync(join(root, 'node_modules/node-sqlite3-wasm/package.json'), '{"main":"index.js"}');
    writeFileSync(join(root, 'node_modules/node-sqlite3-wasm/index.js'), "module.exports = 'outside';");
    writeFileSync(join(root, 'src/cli/main.ts'), main.replace("'outside'", "'node-sqlite3-wasm'"));
    writeFileSync(join(root, 'src/cli/greeting.ts'), "export const greeting: string = 'hello, wörld';\n");
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const start = (...args: readonly string[]): { readonly status: number | null; readonly text: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [
      join(root, 'scripts/image-replication.js'),
      ...args,
    ]);
    return { status, text: `${stdout.toString()}${stderr.toString()}` };
  };
  const kept = (): readonly string[] => {
    const cache = join(root, 'node_modules/.cache/image-replication');
    return readdirSync(cache, { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(js|code)$/.test(name))
      .map((name) => join(cache, name))
      .sort();
  };
  const greeted = (name: string): string => `hello, wörld ${name} 1.2.3 outside true\n`;

  it('compiles once, and keeps the code of each command that succeeded', () => {
    expect(start('you')).toEqual({ status: 0, text: greeted('you') });
    expect(start('fail').status).toBe(1);
    expect(start('--you').status).toBe(0);
    const files = kept();
    expect(files.map((path) => path.replace(/.*\/src\/cli\//, ''))).toEqual([
      'main.js',
      'main.js.code',
      'main.js.you.code',
    ]);
    const times = files.map((path) => statSync(path).mtimeMs);
    expect(start('you')).toEqual({ status: 0, text: greeted('you') });
    expect(files.map((path) => statSync(path).mtimeMs)).toEqual(times);
  });

  it.each(['11.3.244.8-node.38', '12.4.254.21-node.57', '13.6.233.17-node.53'])(
    'tells V8 %s only what that knows: it complains of the rest on standard error',
    (version) => {
      // As in Node 20, 22 and 24.
      const known = version.startsWith('11.')
        ? ['--no-incremental-marking', '--interrupt-budget=2000000']
        : ['--no-incremental-marking'];
      const preload = `
        import { syncBuiltinESMExports } from 'node:module';
        import v8 from 'node:v8';
        const versions = { ...process.versions, v8: '${version}' };
        Object.defineProperty(process, 'versions', { value: versions });
        v8.setFlagsFromString = (flag) => void process.stdout.write(flag + '\\n');
        syncBuiltinESMExports();`;
      const script = join(root, 'scripts/image-replication.js');
      const { stdout } = spawnSync(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(preload)}`, script, 'you']); // prettier-ignore
      expect(
        stdout
          .toString()
          .split('\n')
          .filter((line) => line.startsWith('--')),
      ).toEqual(known);
      expect(stdout.toString()).toContain(greeted('you'));
    },
  );

  it('does without kept code that V8 cannot use, and keeps its own instead', () => {
    start('you');
    const code = kept().find((path) => path.endsWith('.you.code')) ?? '';
    const own = readFileSync(code);
    writeFileSync(code, 'of another version');
    expect(start('you')).toEqual({ status: 0, text: greeted('you') });
    expect(readFileSync(code).length).toBeGreaterThan(own.length / 2);
  });

  it('compiles anew when a source has changed', () => {
    start('you');
    writeFileSync(join(root, 'src/cli/greeting.ts'), "export const greeting: string = 'good morning';\n");
    expect(start('you')).toEqual({ status: 0, text: 'good morning you 1.2.3 outside true\n' });
  });

  it('runs where nothing can be kept', () => {
    writeFileSync(join(root, 'node_modules/.cache'), 'a file in place of the folder');
    expect(start('you')).toEqual({ status: 0, text: greeted('you') });
  });
});
