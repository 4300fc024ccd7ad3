import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { codeIn, commandsOf, document, fencesOf, tableBelow } from './readme/markdown.ts';
import { type Place, shell, startPlace } from './readme/place.ts';
import { story } from './story.ts';
import { describeWith, requireTool, root } from './tools.ts';

const readme = document('README.md');
const dataFiles = document('README-DATAFILES.md');
const commands = commandsOf(`${readme}\n${dataFiles}`);
const Package = z.looseObject({
  bin: z.record(z.string(), z.string()),
  scripts: z.record(z.string(), z.string()),
  dependencies: z.record(z.string(), z.string()),
  devDependencies: z.record(z.string(), z.string()),
});
const manifest = Package.parse(jsonFile(join(root, 'package.json')));

const eks =
  'npx image-replication eks --eks-version 1.34 --data-dir my-data --project demo --deployment dev --module replication';
const locked =
  'npx image-replication eks --lock out/replication.lock.json --project demo --deployment dev --module replication';
const images = 'npx image-replication images --list images.txt --target registry.example.com/mirror';

interface Step {
  /** Default 0. */
  readonly status?: number;
  readonly says?: RegExp;
  readonly env?: Readonly<Record<string, string>>;
  readonly after?: (place: Place) => Promise<void> | void;
}

/** What each command has to do: run in the place, or something else where running it here would never end. */
const steps: Readonly<Record<string, Step | ((place: Place) => Promise<void> | void)>> = {
  // These would run this test again, or change what others use; that the whole passes is what `npm test` shows.
  'npm ci': lockIsInStep,
  'npm test': () => isScript('test'),
  'npm run setup': () => isScript('setup'),
  'npm run setup -- --bench': () => isScript('setup'),
  'npm run test:unit': () => isScript('test:unit'),
  'npm run check': () => isScript('check'),
  // bench/bench.e2e.test.ts runs it.
  'npm run bench': () => isScript('bench'),
  'npm run bench -- --scale 0.01 --reps 1': () => isScript('bench'),
  'npm run bench -- discovery': () => isScript('bench'),

  'npm run demo': async (place) => {
    const [first, second] = [await place.run('npm run demo'), await place.run('npm run demo')];
    expect(first.status, first.output).toBe(0);
    expect(first.output).toMatch(/copied +2[12] artifacts/);
    expect(second.status, second.output).toBe(0);
    expect(second.output).toContain('nothing to copy');
    for (const [name = ''] of tableBelow(readme, '### Files'))
      expect(existsSync(join(place.folder, 'out', codeIn(name)[0] ?? '')), name).toBe(true);
    const example = fencesOf(readme).find(({ text, language }) => language === 'json' && text.includes('"S3Bucket"'));
    expect(jsonFile(join(place.folder, 'out/metadata.json'))).toEqual(JSON.parse(example?.text ?? ''));
    runRecordIsDescribed(place);
  },
  'npm run demo -- --target oci-layout:out/bundle': { says: /eks: done/ },
  'skopeo inspect --raw oci:out/bundle:demo-registry.example.com/team/web:1.2.0': readsTheBundle,

  // A test of this suite.
  'npx vitest run --project e2e test/main-job.e2e.test.ts': () => {
    expect(existsSync(join(root, 'test/main-job.e2e.test.ts'))).toBe(true);
  },

  // What they do is tested with the real CLI in seedfarmer.e2e.test.ts.
  'seedfarmer apply manifests/dev/deployment.yaml': () => usage('apply', /apply \[OPTIONS\] SPEC/),
  'seedfarmer destroy dev': () => usage('destroy', /destroy \[OPTIONS\] DEPLOYMENT/),

  'npm run delete-repos -- demo': {
    status: 2,
    says: /keep +demo-untagged\/thing [\s\S]*delete +demo-old\/thing [\s\S]*and there is no terminal to ask at/,
    after: ({ ecr }) => expect(ecr.repositories()).toContain('demo-old/thing'),
  },
  'npm run delete-repos -- <project>': () => expect(commands).toContain('npm run delete-repos -- demo'),

  [`${eks} --plan`]: {
    says: /planned: 1[34] images and 8 charts/,
    after: (place) => {
      expect(existsSync(join(place.folder, 'out/plan.json'))).toBe(true);
      expect(reposOf(place)).toEqual(['demo-old/thing', 'demo-untagged/thing']);
    },
  },
  [eks]: { says: /copied +2[12] artifacts/, after: (place) => expect(reposOf(place).length).toBeGreaterThan(15) },
  [locked]: { says: /nothing to copy/ },
  [`${eks} --target oci-layout:bundle`]: {
    says: /eks: done/,
    after: ({ folder }) => expect(existsSync(join(folder, 'bundle/oci-layout'))).toBe(true),
  },
  [`${images} --plan`]: {
    says: /pause:3\.10 -> .*base\/pause:3\.10/,
    after: ({ mirror }) => expect(mirror.repositories()).toEqual([]),
  },
  [`${images} --verify`]: {
    says: /== verify[\s\S]*images: done/,
    after: ({ mirror }) => {
      expect([...mirror.repositories()].sort()).toEqual(['base/pause', 'mirror/prometheus/node-exporter']);
    },
  },
  [`${images} --write-lock`]: {
    says: /images: done/,
    after: ({ folder }) => expect(existsSync(join(folder, 'out/replication.lock.json'))).toBe(true),
  },
  'npx image-replication verify --lock out/replication.lock.json': { says: /verify: done/ },
  'npx image-replication images --lock out/replication.lock.json': { says: /nothing to copy/ },
  'npx image-replication delete-repos demo --yes': {
    says: /deleted demo-old\/thing/,
    after: (place) => expect(reposOf(place)).toEqual(['demo-untagged/thing']),
  },
  'npx image-replication destroy --project demo --deployment dev --module replication': {
    env: { SEEDFARMER_PARAMETER_RETENTION_TYPE: 'DESTROY' },
    says: /no repository under demo- is tagged as owned by dev\/replication/,
  },
  'npx image-replication helm': { says: /helm \d+\.\d+\.\d+: \S+\/helm/ },
  'npx image-replication --help': everyCommandIsDescribed,
  'npx image-replication eks --help': { says: /--data-dir[\s\S]*Example:/ },
  // Their pages' commands: src/cli/{ecr,chart,mirror}.e2e.test.ts and the test of the pages below.
  'npx image-replication ecr --help': { says: /--dest-region[\s\S]*Example:/ },
  'npx image-replication status --help': { says: /--store[\s\S]*Example:/ },
  'npx image-replication chart --help': { says: /--code-collections[\s\S]*Example:/ },
  'npx image-replication worker --help': { says: /--shard[\s\S]*Example:/ },
  'npx image-replication summary --help': { says: /--shards[\s\S]*Example:/ },
  'npx image-replication runs --help': { says: /--redrive[\s\S]*Example:/ },
  'npx image-replication kubernetes-job --help': { says: /--template[\s\S]*Example:/ },
  'npx image-replication mirror --help': { says: /--config[\s\S]*Example:/ },

  // Without -u: it would mend the very file that the test is about.
  'npx vitest run --project unit src/sources/eks/shipped.test.ts -u': async () => {
    const { status, output } = await shell(
      'node_modules/.bin/vitest run --project unit src/sources/eks/shipped.test.ts',
      root,
      { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    );
    expect(status, output).toBe(0);
  },
};

// One story in the order of the README: later commands read what earlier ones left.
describeWith(['helm3', 'skopeo', 'seedfarmer'], 'the commands in README.md and README-DATAFILES.md', () => {
  let place: Place;
  const part = story(begin, () => place.close());
  async function begin(): Promise<void> {
    const list = fencesOf(readme).find(({ text }) => text.includes('node-exporter'));
    place = await startPlace(list?.text ?? '');
    place.ecr.createRepository('demo-old/thing', {}, { 'image-replication:test/replication': 'demo' });
    place.ecr.createRepository('demo-untagged/thing');
    place.ecr.createRepository('demo2-other');
  }

  it('are the ones that this test knows', () => {
    expect([...commands].sort()).toEqual(Object.keys(steps).sort());
  });

  async function does(command: string): Promise<void> {
    const step = steps[command];
    if (step === undefined) throw new Error(`README has "${command}", and no test knows what it has to do`);
    if (typeof step === 'function') {
      await step(place);
      return;
    }
    const { status, output } = await place.run(command, step.env);
    expect(status, output).toBe(step.status ?? 0);
    if (step.says !== undefined) expect(output).toMatch(step.says);
    expect(place.ecr.repositories()).toContain('demo2-other');
    await step.after?.(place);
  }
  for (const command of commands) part(command, () => does(command));
});

describeWith(['seedfarmer'], 'the manifests in README.md and README-DATAFILES.md', () => {
  const examples = [readme, dataFiles]
    .flatMap(fencesOf)
    .filter(({ language, text }) => language === 'yaml' && /^(?:parameters|path):/m.test(text))
    .map(({ text }): unknown => parse(text));

  it('are there', () => expect(examples).toHaveLength(3));

  it.each(examples.map((example, number) => [number + 1, example] as const))(
    'are what Seed-Farmer takes (number %i), with parameters that the module has',
    (_, example) => {
      const whole = { name: 'a', path: 'modules/a', ...z.record(z.string(), z.unknown()).parse(example) };
      const { manifest: names, table } = readBySeedFarmer(whole);
      // The last one is the EKS module's.
      const foreign = ['REPLICATED_ECR_IMAGES_METADATA_S3_PATH'];
      expect(names.length).toBeGreaterThan(0);
      expect([...table, ...foreign]).toEqual(expect.arrayContaining([...names]));
    },
  );

  it('would be refused with a key that Seed-Farmer does not know', () => {
    expect(() => readBySeedFarmer({ name: 'a', path: 'modules/a', dataFilez: [] })).toThrow('not allowed');
  });

  it('name data files that the module ships', () => {
    const Files = z.looseObject({ dataFiles: z.array(z.object({ filePath: z.string() })).optional() });
    const paths = examples.flatMap((example) => (Files.parse(example).dataFiles ?? []).map(({ filePath }) => filePath));
    expect(paths).toHaveLength(4);
    for (const path of paths) expect(existsSync(join(root, path)), path).toBe(true);
  });
});

describe('the pages of the other jobs', () => {
  const pages = readdirSync(join(root, 'docs')).map((name) => `docs/${name}`);
  const jobs = pages.flatMap((page) =>
    commandsOf(document(page))
      .filter((command) => command.startsWith('npx image-replication '))
      .map((command) => [page, command] as const),
  );

  it('are there', () => expect(pages.length).toBeGreaterThan(2));

  it.each(jobs)('%s: %s has options that the program knows', (_, command) => {
    const [job = '', ...words] = command.replace('npx image-replication ', '').split(/\s+/);
    const help = execFileSync(process.execPath, [join(root, 'scripts/image-replication.js'), job, '--help'], {
      encoding: 'utf8',
    });
    for (const option of words.filter((word) => /^--?[a-z]/.test(word)))
      expect(help).toMatch(new RegExp(`${option.split('=')[0] ?? option}\\b`));
  });
});

it('the program that npx runs is there', () => {
  expect(Object.keys(manifest.bin)).toEqual(['image-replication']);
  accessSync(join(root, manifest.bin['image-replication'] ?? ''), constants.X_OK);
});

const reader = `
import json, sys
from seedfarmer.models.manifests import ModuleManifest
from seedfarmer.utils import upper_snake_case
given = json.load(sys.stdin)
module = ModuleManifest(**given["manifest"])
names = [each.upper_snake_case for each in module.parameters]
print(json.dumps({"manifest": names, "table": [upper_snake_case(each) for each in given["table"]]}))
`;

interface Names {
  /** Parameters of the manifest, as the build gets them. */
  readonly manifest: readonly string[];
  /** Those of the README's tables, put into the same form. */
  readonly table: readonly string[];
}

/** Has Seed-Farmer's own model read a manifest, in a project that refuses unknown keys. */
function readBySeedFarmer(manifest: unknown): Names {
  const rows = [...tableBelow(readme, '#### Required'), ...tableBelow(readme, '#### Optional')];
  const input = JSON.stringify({ manifest, table: rows.flatMap(([name = '']) => codeIn(name)) });
  const cwd = mkdtempSync(join(tmpdir(), 'readme-manifest-'));
  try {
    writeFileSync(join(cwd, 'seedfarmer.yaml'), 'project: demo\nmanifestValidationFailOnUnknownFields: true\n');
    const output = execFileSync(join(root, '.venv/bin/python'), ['-c', reader], {
      cwd,
      input,
      encoding: 'utf8',
      stdio: 'pipe',
    });
    const Answer = z.object({ manifest: z.array(z.string()), table: z.array(z.string()) });
    return Answer.parse(JSON.parse(output.trim().split('\n').at(-1) ?? ''));
  } finally {
    rmSync(cwd, { recursive: true });
  }
}

function jsonFile(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function isScript(name: string): void {
  const script = manifest.scripts[name] ?? '';
  expect(script).not.toBe('');
  const file = /^bash (\S+)$/.exec(script)?.[1];
  if (file !== undefined) execFileSync('bash', ['-n', join(root, file)]);
}

/** `npm ci` refuses a lock file that says something else than package.json. */
function lockIsInStep(): void {
  const Lock = z.looseObject({ packages: z.record(z.string(), z.looseObject({})) });
  const top = Lock.parse(jsonFile(join(root, 'package-lock.json'))).packages[''];
  expect(top).toMatchObject({ dependencies: manifest.dependencies, devDependencies: manifest.devDependencies });
}

async function readsTheBundle(place: Place): Promise<void> {
  const command = 'skopeo inspect --raw oci:out/bundle:demo-registry.example.com/team/web:1.2.0';
  // Its host is part of a name here, and no address.
  const { status, output } = await shell(command, place.folder, { PATH: process.env['PATH'] });
  expect(status, output).toBe(0);
  const Index = z.looseObject({ manifests: z.array(z.looseObject({})).min(2) });
  expect(Index.safeParse(JSON.parse(output)).success).toBe(true);
}

function usage(command: string, form: RegExp): void {
  const help = execFileSync(requireTool('seedfarmer'), [command, '--help'], { encoding: 'utf8' });
  expect(help).toMatch(form);
  expect(readdirSync(join(root, 'test'))).toContain('seedfarmer.e2e.test.ts');
}

/** The description of run.json names exactly its keys. */
function runRecordIsDescribed(place: Place): void {
  const record = z.record(z.string(), z.unknown()).parse(jsonFile(join(place.folder, 'out/run.json')));
  const paragraph = /^`run\.json` is for other programs[\s\S]*?\n\n/m.exec(readme)?.[0] ?? '';
  const described = codeIn(paragraph);
  for (const key of Object.keys(record)) expect(described).toContain(key);
}

async function everyCommandIsDescribed(place: Place): Promise<void> {
  const { status, output } = await place.run('npx image-replication --help');
  expect(status).toBe(0);
  const names = [...output.matchAll(/^ {2}([a-z-]+) \[options\]/gm)].map(([, name = '']) => name);
  expect(names.length).toBeGreaterThan(3);
  for (const name of names) expect(readme).toMatch(new RegExp(`npx image-replication ${name} `.trimEnd()));
}

function reposOf({ ecr }: Place): readonly string[] {
  return ecr
    .repositories()
    .filter((name) => name.startsWith('demo-'))
    .toSorted();
}
