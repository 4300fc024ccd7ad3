import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Script } from 'node:vm';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Imports a TypeScript module of this project. Node 20 cannot load TypeScript itself; tsx can, on the fly, but it keeps a
 * loader thread that costs 40 MiB and a quarter of a second at every start. So the first start keeps what esbuild (the
 * compiler inside tsx) makes of src/ beside the dependencies, and later ones load that. There is no build step: the
 * kept files are found by the sources' paths, sizes and times, and where they cannot be written tsx does it alone.
 */
export async function importTypeScript(entry) {
  // The pinned SDK runs on Node 20; what its next releases need is no concern of whoever reads this program's output.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
  const compiled = await keptEntry(entry).catch(() => undefined);
  if (compiled !== undefined) return run(compiled);
  const { register } = await import('tsx/esm/api');
  register();
  return import(pathToFileURL(join(root, entry)).href);
}

/** Path of what is kept for the entry, compiled now unless it is there; `undefined` where that does not work. */
export async function keptEntry(entry) {
  const cache = join(root, 'node_modules', '.cache', 'image-replication');
  const folder = join(cache, stampOf(entry));
  const file = join(folder, entry.replace(/\.ts$/, '.js'));
  if (existsSync(file)) return file;
  mkdirSync(cache, { recursive: true });
  // Several first starts may compile at once: each into a folder of its own, and whoever is first keeps its name.
  const fresh = `${folder}.${process.pid}`;
  await compile(entry, fresh);
  try {
    renameSync(fresh, folder);
  } catch {
    rmSync(fresh, { recursive: true, force: true });
  }
  dropOthers(cache, folder);
  return existsSync(file) ? file : undefined;
}

/** Names the state of all sources, and where they lie: `import.meta.url` becomes part of what is kept. */
function stampOf(entry) {
  const hash = createHash('sha256').update(`${root}\n${process.version}\n${entry}\n`);
  for (const folder of ['src', 'scripts', 'test']) {
    if (folder !== 'src' && entry.startsWith('src/')) continue;
    for (const each of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!each.isFile() || !/\.(ts|json)$/.test(each.name) || each.name.endsWith('.test.ts')) continue;
      const path = join(each.parentPath ?? each.path, each.name);
      const { size, mtimeMs } = statSync(path);
      hash.update(`${relative(root, path)} ${size} ${mtimeMs}\n`);
    }
  }
  for (const file of [join(root, 'package.json'), fileURLToPath(import.meta.url)])
    hash.update(`${statSync(file).mtimeMs} `);
  return hash.digest('hex').slice(0, 24);
}

/**
 * Runs a compiled entry with the code that V8 made in an earlier run of the same command, or of `--version`, which the
 * installation leaves: to make it anew takes a tenth of a second of every start. Node keeps such code by itself from version
 * 22 on (`module.enableCompileCache`). What V8 cannot use, another version's for one, it ignores.
 */
function run(file) {
  // It is ASCII, which needs no decoding and half of the memory.
  const source = readFileSync(file, 'latin1');
  const ofAny = `${file}.code`;
  const [command] = /^[a-z][a-z-]*$/.exec(process.argv[2] ?? '') ?? [];
  const ofCommand = command === undefined ? ofAny : `${file}.${command}.code`;
  const kept = [ofCommand, ofAny].find((path) => existsSync(path));
  const script = new Script(source, {
    filename: file,
    cachedData: kept === undefined ? undefined : readFileSync(kept),
  });
  if (kept !== ofCommand || script.cachedDataRejected) {
    process.once('exit', (code) => code === 0 && keep(ofCommand, () => script.createCachedData()));
  }
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file));
  return module.exports;
}

/** Others may do the same at the same time, and the folder may be read-only: then the next start is as slow as this one. */
function keep(path, content) {
  const fresh = `${path}.${process.pid}`;
  try {
    writeFileSync(fresh, '');
    writeFileSync(fresh, content());
    renameSync(fresh, path);
  } catch {
    rmSync(fresh, { force: true });
  }
}

async function compile(entry, folder) {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    write: false,
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: folder,
    outbase: '.',
    bundle: true,
    // One file instead of hundreds: finding and reading the packages' files takes longer than running them.
    // node-sqlite3-wasm reads its .wasm file beside its own code.
    external: ['esbuild', 'tsx', 'node-sqlite3-wasm'],
    mainFields: ['module', 'main'],
    // A function like the one that Node puts around a module in CommonJS: V8 keeps code of scripts only, not of ES modules.
    banner: { js: '(function (exports, require, module, __filename, __dirname) {' },
    footer: { js: '})' },
    minifyWhitespace: true,
    format: 'cjs',
    // undici looks at this, which makes Node load its own copy of undici.
    define: { 'globalThis.Headers': 'undefined' },
    // A script cannot import; what is external and imported late is required.
    supported: { 'dynamic-import': false },
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    logLevel: 'silent',
    // Paths are told relative to a module's own file, which is not where the compiled one lies.
    plugins: [
      { name: 'own-url', setup: (compiler) => void compiler.onLoad({ filter: /\.ts$/, namespace: 'file' }, ownUrl) },
    ],
  });
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    // esbuild leaves other letters than ASCII in comments and in tagged templates, where an escape means the same to whoever
    // does not ask for the raw text; nobody here does.
    writeFileSync(path, path.endsWith('.js') ? text.replace(/[^\0-\x7f]/g, escaped) : text);
  }
}

function escaped(letter) {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

async function ownUrl({ path }) {
  const source = await readFile(path, 'utf8');
  const contents = source.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href));
  return { contents, loader: 'ts', resolveDir: dirname(path) };
}

/** What older sources left; a run that still uses it has loaded its files long since. */
function dropOthers(cache, current) {
  const anHourAgo = Date.now() - 3_600_000;
  for (const name of readdirSync(cache)) {
    const path = join(cache, name);
    if (path !== current && statSync(path).mtimeMs < anHourAgo) rmSync(path, { recursive: true, force: true });
  }
}
