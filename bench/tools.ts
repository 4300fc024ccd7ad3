import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

export const root = join(import.meta.dirname, '..');

export const toolNames = ['ours', 'regsync', 'crane', 'skopeo'] as const;
export type ToolName = (typeof toolNames)[number];

/** What one run of a tool is asked to do. */
export interface CopyTask {
  readonly images: readonly { readonly repository: string; readonly tag: string }[];
  /** `127.0.0.1:PORT` of the relays. */
  readonly source: string;
  readonly target: string;
  /** A folder of its own for what the run needs and leaves. */
  readonly folder: string;
}

export interface Tool {
  readonly name: ToolName;
  /** As tables show it: the name and how it is made to work in parallel. */
  readonly title: string;
  readonly version: string;
  /** Writes the task as the tool wants it. @returns the command that does it */
  prepare(task: CopyTask): Promise<readonly [command: string, ...args: string[]]>;
}

/** Processes, for tools that copy one image each; images at a time, for the one that takes a list. */
const parallel = '8';

/** Where a program is that scripts/setup.sh fetches, else where PATH has it. */
export function findProgram(name: string): string | undefined {
  const folders = [join(root, '.tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** A tool that can be run here, or why it cannot. */
export async function findTool(name: ToolName): Promise<Tool | { readonly missing: string }> {
  if (name === 'ours') return ours();
  const program = findProgram(name);
  if (program === undefined)
    return { missing: `${name} is neither in .tools/bin nor on PATH (npm run setup -- --bench)` };
  const version = await versionOf(program, versionArguments[name]);
  return { name, version, ...peers[name](program) };
}

async function ours(): Promise<Tool> {
  const script = join(root, 'scripts/image-replication.js');
  const commit = await promisify(execFile)('git', ['-C', root, 'rev-parse', '--short', 'HEAD']).then(
    ({ stdout }) => stdout.trim(),
    () => 'no git',
  );
  return {
    name: 'ours',
    title: 'image-replication',
    version: commit,
    async prepare(task) {
      const list = join(task.folder, 'list.txt');
      await writeFile(list, pairs(task, '').join('\n'));
      // The first start after a change compiles the sources and keeps the result; that is no part of a copy.
      await promisify(execFile)(process.execPath, [script, '--help']);
      return [process.execPath, script, 'images', '--list', list, '--out', join(task.folder, 'out')];
    },
  };
}

const versionArguments = { skopeo: '--version', crane: 'version', regsync: 'version' } as const;

const peers: Readonly<Record<Exclude<ToolName, 'ours'>, (program: string) => Pick<Tool, 'title' | 'prepare'>>> = {
  skopeo: (program) => ({
    title: `skopeo-P${parallel}`,
    // --all: every platform, as the others do by themselves. Its own retries are on: they are off by default.
    prepare: (task) =>
      viaXargs(task, 'docker://', program, [
        '--insecure-policy',
        'copy',
        '--all',
        '--retry-times',
        '3',
        '--src-tls-verify=false',
        '--dest-tls-verify=false',
      ]),
  }),
  crane: (program) => ({
    title: `crane-P${parallel}`,
    prepare: (task) => viaXargs(task, '', program, ['copy']),
  }),
  regsync: (program) => ({
    title: 'regsync',
    async prepare(task) {
      const config = join(task.folder, 'regsync.yaml');
      await writeFile(config, regsyncConfig(task));
      return [program, 'once', '--config', config];
    },
  }),
};

/** https://regclient.org/usage/regsync/ JSON is YAML. */
function regsyncConfig(task: CopyTask): string {
  const registry = (host: string) => ({ registry: host, tls: 'disabled', reqConcurrent: 16 });
  return JSON.stringify({
    version: 1,
    creds: [registry(task.source), registry(task.target)],
    defaults: { parallel: Number(parallel) },
    sync: task.images.map(({ repository, tag }) => ({
      source: `${task.source}/${repository}:${tag}`,
      target: `${task.target}/${repository}:${tag}`,
      type: 'image',
    })),
  });
}

async function viaXargs(
  task: CopyTask,
  scheme: string,
  program: string,
  args: readonly string[],
): Promise<readonly [string, ...string[]]> {
  const list = join(task.folder, 'list.txt');
  await writeFile(list, `${pairs(task, scheme).join('\n')}\n`);
  return ['xargs', '-a', list, '-P', parallel, '-n', '2', program, ...args];
}

/** `source target`, a line each. */
function pairs(task: CopyTask, scheme: string): readonly string[] {
  return task.images.map(
    ({ repository, tag }) =>
      `${scheme}${task.source}/${repository}:${tag} ${scheme}${task.target}/${repository}:${tag}`,
  );
}

/** The first thing in a program's words that looks like a version. */
export async function versionOf(program: string, argument: string): Promise<string> {
  const said = await promisify(execFile)(program, [argument]).then(
    ({ stdout }) => stdout,
    () => '',
  );
  return /v?\d+\.\d+\.\d+[\w.+-]*/.exec(said)?.[0] ?? 'unknown version';
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
