import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { anchorsOf, codeIn, document, linksOf, tableBelow } from '../../test/readme/markdown.ts';
import { parseRetentionType } from '../retention/destroy.ts';
import { eksSettings } from './eks-settings.ts';
import { parameterName } from './environment.ts';

// What README.md says in tables is compared with the code, so that neither changes alone.

const root = join(import.meta.dirname, '../..');
const readme = document('README.md');
const required = tableBelow(readme, '#### Required').flatMap(([name = '']) => codeIn(name));
const optional = new Map(
  tableBelow(readme, '#### Optional').map(([name = '', fallback = '']) => [codeIn(name)[0] ?? '', codeIn(fallback)[0]]),
);

const Package = z.looseObject({ dependencies: z.record(z.string(), z.string()) });

/** Runs the code on an environment that notes which parameters it is asked for. */
function parametersRead(): ReadonlySet<string> {
  const asked = new Set<string>();
  const given: Readonly<Record<string, string>> = {
    SEEDFARMER_PROJECT_NAME: 'demo',
    SEEDFARMER_DEPLOYMENT_NAME: 'dev',
    SEEDFARMER_MODULE_NAME: 'replication',
    SEEDFARMER_PARAMETER_EKS_VERSION: '1.34',
    AWS_REGION: 'eu-west-1',
    // The key of a secret is read only where there is a secret.
    SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'a',
    SEEDFARMER_PARAMETER_HELM_DISTRO_SECRET_NAME: 'b',
  };
  const env = new Proxy(given, {
    get(target, name) {
      const parameter = /^SEEDFARMER_PARAMETER_(.+)$/.exec(String(name))?.[1];
      if (parameter !== undefined) asked.add(parameterName(parameter));
      return typeof name === 'string' ? target[name] : undefined;
    },
  });
  eksSettings({}, env, 0);
  return asked;
}

describe('the parameters in README.md', () => {
  it('are those that the code reads, and ConfigVersion, which nothing reads', () => {
    expect([...required, ...optional.keys()].sort()).toEqual([...parametersRead(), 'ConfigVersion'].sort());
  });

  it('are required where the code cannot do without', () => {
    expect(required).toEqual(['EksVersion']);
    const names = { SEEDFARMER_PROJECT_NAME: 'demo', SEEDFARMER_DEPLOYMENT_NAME: 'd', SEEDFARMER_MODULE_NAME: 'm' };
    expect(() => eksSettings({}, { ...names, AWS_REGION: 'eu-west-1' }, 0)).toThrow(/^the EKS version is missing$/);
  });

  it('have the defaults of the code', () => {
    const owner = {
      eksVersion: '1.34',
      project: 'demo',
      deployment: 'dev',
      module: 'replication',
      region: 'eu-west-1',
    };
    const settings = eksSettings(owner, {}, 0);
    expect(Object.fromEntries([...optional].filter(([, fallback]) => fallback !== undefined))).toEqual({
      RetentionType: parseRetentionType(undefined),
      Platforms: settings.platforms,
      ScanOnPush: String(settings.scanOnPush),
      ImmutableTags: String(settings.immutableTags),
      EncryptionKey: settings.encryptionKey,
      PinDigests: String(settings.pinDigests),
      UncontrolledImages: settings.uncontrolledImages,
      MaxMinutes: String(settings.maxMinutes),
    });
    expect(settings).toMatchObject({ helmRepoSecret: undefined, helmDistro: { url: undefined, secret: undefined } });
  });

  it('contain those of modulestack.yaml, with the same defaults', () => {
    const Stack = z.object({ Parameters: z.record(z.string(), z.object({ Default: z.string().optional() })) });
    // Tags such as !Sub mean nothing here.
    const stack = Stack.parse(parse(readFileSync(join(root, 'modulestack.yaml'), 'utf8'), { logLevel: 'silent' }));
    const { ProjectName, RoleName, ...rest } = stack.Parameters;
    expect([ProjectName, RoleName]).toEqual([{}, {}]); // filled by Seed-Farmer itself
    for (const [name, { Default }] of Object.entries(rest)) {
      expect([...optional.keys()]).toContain(name);
      expect(Default, name).toBe(optional.get(name) ?? '');
    }
  });
});

describe('README.md', () => {
  it('describes every room, and lets it import what lint lets it', () => {
    const rooms = tableBelow(readme, '## For developers').map(([room = '', , imports = '']) => {
      const named = codeIn(imports.split(';')[0] ?? '');
      return [codeIn(room)[0] ?? '', imports.startsWith('all but ') ? { allBut: named } : named] as const;
    });
    const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(rooms.map(([room]) => room).sort()).toEqual(folders.map(({ name }) => name).sort());
    const everyRoom = rooms.map(([room]) => room);
    for (const [room, imports] of rooms) {
      const described = 'allBut' in imports ? without(everyRoom, [room, ...imports.allBut]) : imports;
      expect([...described].sort(), room).toEqual([...(lintRules()[room] ?? [])].sort());
    }
  });

  it('says what each package is for that the program uses', () => {
    const { dependencies } = Package.parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
    const texts = [...sources(), ...scripts('.js')];
    const used = Object.keys(dependencies).filter((name) =>
      texts.some((text) => text.includes(`'${name}'`) || text.includes(`'${name}/`)),
    );
    const described = tableBelow(readme, '### Packages').flatMap(([name = '']) => codeIn(name));
    expect([...described].sort()).toEqual([...used].sort());
  });

  it('quotes messages that the program really has', () => {
    const texts = [...sources(), ...scripts('.sh')].join('\n');
    const quoted = tableBelow(readme, '## What may go wrong').flatMap(([message = '']) => codeIn(message));
    expect(quoted.length).toBeGreaterThan(20);
    // A registry's status and everything behind … is filled in by the program.
    const parts = quoted.flatMap((text) => text.split(/…|\b(?:401|403|404|429)\b/)).map((part) => part.trim());
    expect(parts.filter((part) => part.length > 3 && !texts.includes(part))).toEqual([]);
  });

  it.each(['README.md', 'README-DATAFILES.md'])('links of %s lead somewhere', (file) => {
    const links = linksOf(document(file));
    expect(links.length).toBeGreaterThan(4);
    for (const link of links) {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? file : path;
      expect(existsSync(join(root, target)), link).toBe(true);
      if (anchor !== undefined) expect([...anchorsOf(document(target))], link).toContain(anchor);
    }
  });
});

/** Texts of the program's own files, tests and test servers apart. */
function sources(): readonly string[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('testing/'))
    .map((name) => readFileSync(join(root, 'src', name), 'utf8'));
}

function scripts(ending: string): readonly string[] {
  const names = readdirSync(join(root, 'scripts')).filter((name) => name.endsWith(ending));
  return names.map((name) => readFileSync(join(root, 'scripts', name), 'utf8'));
}

function without<T>(all: readonly T[], some: readonly T[]): readonly T[] {
  return all.filter((each) => !some.includes(each));
}

/** The table of rooms in eslint.config.js; written so plainly that it is YAML as well. */
function lintRules(): Readonly<Record<string, readonly string[]>> {
  const literal = /const mayImport = (\{[\s\S]*?\n\});/.exec(document('eslint.config.js'))?.[1] ?? '';
  return z.record(z.string(), z.array(z.string())).parse(parse(literal));
}
