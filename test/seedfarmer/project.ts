import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { root } from '../tools.ts';
import { accountId } from './account.ts';

/** A Seed-Farmer project of one deployment with one module. */
export interface ProjectSpec {
  readonly project: string;
  readonly deployment: string;
  readonly group: string;
  readonly module: string;
  readonly region: string;
  /** Path of each data file as the manifest writes it, and its text. */
  readonly dataFiles: Readonly<Record<string, string>>;
  /** Module parameters; anything but a string reaches the module as JSON. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** Where the module's files come from: a function that writes them into a folder. */
export type ModuleFiles = (folder: string) => void;

/** This repository's files as git would ship them: tracked, and new ones that are not ignored. */
export const thisRepository: ModuleFiles = (folder) => {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
  for (const name of new Set(listed.toString('utf8').split('\0'))) {
    const file = join(root, name);
    if (name === '' || !existsSync(file) || !statSync(file).isFile()) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    cpSync(file, join(folder, name));
  }
};

/** A module of a few files given as text. */
export function filesOf(files: Readonly<Record<string, string>>): ModuleFiles {
  return (folder) => writeAll(folder, files);
}

/** Writes manifests and data files, over what is there. Returns the manifest's path for `seedfarmer apply`. */
export function writeProject(folder: string, spec: ProjectSpec): string {
  const manifests = `manifests/${spec.deployment}`;
  const deployment = {
    name: spec.deployment,
    toolchainRegion: spec.region,
    groups: [{ name: spec.group, path: `${manifests}/${spec.group}.yaml` }],
    targetAccountMappings: [
      {
        alias: 'primary',
        accountId,
        default: true,
        regionMappings: [{ region: spec.region, default: true }],
      },
    ],
  };
  const module = {
    name: spec.module,
    path: 'modules/replication',
    dataFiles: Object.keys(spec.dataFiles).map((filePath) => ({ filePath })),
    parameters: Object.entries(spec.parameters).map(([name, value]) => ({ name, value })),
  };
  writeAll(folder, {
    ...spec.dataFiles,
    'seedfarmer.yaml': stringify({ project: spec.project, description: 'end-to-end test' }),
    [`${manifests}/deployment.yaml`]: stringify(deployment),
    [`${manifests}/${spec.group}.yaml`]: stringify(module),
  });
  return `${manifests}/deployment.yaml`;
}

/** A `docker` for PATH that is the stand-in. Returns its folder. */
export function writeDocker(folder: string): string {
  const bin = join(folder, 'bin');
  const tsx = join(root, 'node_modules/tsx/dist/esm/index.mjs');
  const program = join(import.meta.dirname, 'stand-in-docker.ts');
  writeAll(bin, { docker: `#!/bin/sh\nexec "${process.execPath}" --import "${tsx}" "${program}" "$@"\n` });
  chmodSync(join(bin, 'docker'), 0o755);
  return bin;
}

function writeAll(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}
