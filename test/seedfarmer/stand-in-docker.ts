/**
 * Stands in for the docker CLI where `seedfarmer --local` calls `docker run … public.ecr.aws/codebuild/local-builds`:
 * runs the phases of the buildspec in bash on this machine, in an environment as clean as a container's.
 * What differs from CodeBuild: no image (node is this machine's), /var/scripts is a folder of its own, and uv, pip, docker
 * and aws are shims (the module must need none of them). STAND_IN_ENVIRONMENT (JSON) is set in the build as its image would.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';

const Phase = z.object({ commands: z.array(z.string()), 'on-failure': z.string().optional() });
const Buildspec = z.object({
  version: z.number(),
  env: z.object({ shell: z.literal('bash'), variables: z.record(z.string(), z.string()) }),
  phases: z.object({ install: Phase, pre_build: Phase, build: Phase, post_build: Phase }),
});
type Buildspec = z.infer<typeof Buildspec>;

/** `-e NAME=VALUE` arguments of docker run. */
function givenEnvironment(argv: readonly string[]): Record<string, string> {
  const pairs = argv.filter((_, index) => argv[index - 1] === '-e');
  return Object.fromEntries(pairs.map((pair) => split(pair)));
}

function split(pair: string): [string, string] {
  const at = pair.indexOf('=');
  return [pair.slice(0, at), pair.slice(at + 1)];
}

/** Lines NAME=VALUE of the file that CodeBuild's agent reads; a value cannot have a line break there either. */
function fileEnvironment(file: string): Record<string, string> {
  const lines = readFileSync(file, 'utf8').split('\n');
  return Object.fromEntries(lines.filter((line) => line.includes('=')).map((line) => split(line)));
}

const shims: Readonly<Record<string, string>> = {
  pip: 'exit 0',
  // `uv venv ~/.venv …` must leave an activate script; `uv tool install seed-farmer==…` finds the one of the tests.
  uv: '[ "$1" = venv ] || exit 0\nmkdir -p "$2/bin"\necho "export VIRTUAL_ENV=$2" >"$2/bin/activate"',
  docker: 'echo "the module called docker $*" >&2\nexit 127',
  aws: 'echo "the module called aws $*" >&2\nexit 127',
};

function writeShims(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, body] of Object.entries(shims)) {
    writeFileSync(join(folder, name), `#!/bin/bash\n${body}\n`, { mode: 0o755 });
  }
  const venv = join(import.meta.dirname, '../../.venv/bin');
  for (const name of ['seedfarmer', 'python']) symlinkSync(join(venv, name), join(folder, name));
  symlinkSync(process.execPath, join(folder, 'node'));
  for (const name of ['npm', 'npx']) {
    const path = join(dirname(process.execPath), name);
    if (existsSync(path)) symlinkSync(path, join(folder, name));
  }
}

/** One bash script for all phases: CodeBuild keeps one shell for a build (buildspec version 0.2). */
function script(buildspec: Buildspec, home: string): string {
  const lines = ['cd "$CODEBUILD_SRC_DIR"'];
  const { install, pre_build, build, post_build } = buildspec.phases;
  for (const [name, phase] of Object.entries({ install, pre_build, build, post_build })) {
    lines.push(`echo "[Container] Entering phase ${name.toUpperCase()}"`);
    phase.commands.forEach((command, index) => {
      const file = join(home, `${name}-${String(index)}.sh`);
      writeFileSync(file, `${command.replaceAll('/var/scripts', join(home, 'scripts'))}\n`);
      lines.push(
        `echo "[Container] Running command $(head -c 200 ${file} | head -n 1)"`,
        `. ${file} || { status=$?; echo "[Container] Command did not exit successfully, exit status $status"; exit $status; }`,
      );
    });
    lines.push(`echo "[Container] Phase complete: ${name.toUpperCase()} State: SUCCEEDED"`);
  }
  return [...lines, 'touch "$HOME/completed"'].join('\n');
}

function run(argv: readonly string[]): number {
  const given = givenEnvironment(argv);
  const source = given['SOURCE'] ?? '';
  const buildspec = Buildspec.parse(parse(readFileSync(given['BUILDSPEC'] ?? '', 'utf8')));
  const home = mkdtempSync(join(tmpdir(), 'codebuild-'));
  try {
    writeShims(join(home, 'bin'));
    const aws = Object.entries(given).filter(([name]) => name.startsWith('AWS_') && name !== 'AWS_CONFIGURATION');
    const environment = {
      ...Object.fromEntries(aws),
      ...z.record(z.string(), z.string()).parse(JSON.parse(process.env['STAND_IN_ENVIRONMENT'] ?? '{}')),
      ...fileEnvironment(join(source, given['ENV_VAR_FILE'] ?? 'local.env')),
      ...buildspec.env.variables,
      HOME: home,
      TMPDIR: home,
      LANG: 'C.UTF-8',
      PATH: `${join(home, 'bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      CODEBUILD_SRC_DIR: source.replace(/\/$/, ''),
      CODEBUILD_BUILD_ID: 'local:test',
      CODEBUILD_START_TIME: String(Date.now()),
    };
    const main = join(home, 'main.sh');
    writeFileSync(main, script(buildspec, home));
    const { status } = spawnSync('bash', [main], { env: environment, stdio: ['ignore', 'inherit', 'inherit'] });
    return existsSync(join(home, 'completed')) ? 0 : status || 1;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

process.exitCode = run(process.argv.slice(2));
