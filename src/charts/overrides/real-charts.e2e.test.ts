import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import * as z from 'zod';
import { describeWith, root } from '../../../test/tools.ts';
import { type JsonLike, parseHelmYaml } from '../helm-yaml.ts';
import { createRenderer } from '../render/render-chart.ts';
import { calm } from '../test-support.ts';
import { checkOverrides } from './check.ts';
import { deriveOverrides } from './derive.ts';
import { helmRenders } from './helm-renders.ts';
import type { DeriveRequest } from './port.ts';
import { helmBinary, prefix } from './test-support.ts';
import { formatPath, isMap, type Values } from '../values/tree.ts';

// Real charts are not part of the project: a folder of them stands beside its checkout on the developers' machines.
const folder = process.env['REAL_CHARTS'] ?? join(root, '../shared/charts');
const there = existsSync(join(folder, 'refs'));
if (!there) console.warn(`SKIPPED: overrides of real charts: there is no ${folder} (REAL_CHARTS names another)`);

const Refs = z.looseObject({ chart: z.string(), refs: z.array(z.looseObject({ ref: z.string() })) });
const Control = z.looseObject({
  refs: z.array(z.looseObject({ ref: z.string(), by: z.record(z.string(), z.array(z.string())) })),
});

const charts = there ? readdirSync(join(folder, 'refs')).map((name) => name.replace(/\.json$/, '')) : [];
const renderer = (): ReturnType<typeof createRenderer> => createRenderer(helmBinary());

async function json<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  return existsSync(path) ? schema.parse(JSON.parse(await readFile(path, 'utf8'))) : undefined;
}

/** Bitnami's charts refuse changed registries until this value says that it is all right. */
const allowChangedImages: Values = { global: { security: { allowInsecureImages: true } } };

async function requestFor(id: string): Promise<{ request: DeriveRequest; known: ReadonlySet<string> }> {
  const [repository = '', file = ''] = id.split('__');
  const refs = await json(join(folder, 'refs', `${id}.json`), Refs);
  const known = new Set(refs?.refs.map(({ ref }) => ref));
  const archive = await readFile(join(folder, 'repos', repository, `${file}.tgz`));
  const valuesFile = join(folder, 'values', `${refs?.chart ?? ''}.yaml`);
  const own: JsonLike = existsSync(valuesFile) ? parseHelmYaml(await readFile(valuesFile, 'utf8'), valuesFile) : {};
  const request: DeriveRequest = {
    archive,
    values: { ...(repository === 'bitnami' ? allowChangedImages : {}), ...(isMap(own) ? own : {}) },
    profiles: [],
    render: helmRenders(renderer(), { chart: archive, kubeVersion: '1.34.0' }),
    prefix,
    // The list of real references stands in for the registries that confirm guesses.
    target: (written) => (known.has(written) ? `${prefix}${written}` : undefined),
    signal: calm(),
  };
  return { request, known };
}

const spent = new Map<string, number>();

describeWith(['helm4'], 'overrides of real charts', () => {
  it.runIf(there).each(charts)('%s: every reference that a value controls is re-pointed and proven', async (id) => {
    const { request, known } = await requestFor(id);
    const derivation = await deriveOverrides(request);
    if (derivation.kind !== 'derived') throw new Error(derivation.why);
    spent.set(id, derivation.cost.renders);
    expect(derivation.proof).toMatchObject({ holds: true, failures: [], unexplained: [] });
    // Without references a proof would hold for nothing.
    expect(derivation.references.map(({ found }) => found.text)).toEqual(expect.arrayContaining([...known]));
    const control = await json(join(folder, 'control', `${id}.json`), Control);
    const open = derivation.references.filter(({ outcome }) => outcome.kind !== 'repointed' && outcome.kind !== 'left');
    const uncontrolled = new Set(control?.refs.filter(({ by }) => Object.keys(by).length === 0).map(({ ref }) => ref));
    if (control !== undefined) expect(new Set(open.map(({ found }) => found.text))).toEqual(uncontrolled);
    const repointed = derivation.references.flatMap(({ found, outcome }) =>
      outcome.kind === 'repointed' ? [found.text] : [],
    );
    for (const reference of known)
      if (control !== undefined && !uncontrolled.has(reference)) expect(repointed).toContain(reference);
  });

  it.runIf(there)('costs at most 12 renders a chart, on average', () => {
    const total = [...spent.values()].reduce((sum, each) => sum + each, 0);
    expect(spent.size).toBe(charts.length);
    expect(total / spent.size).toBeLessThanOrEqual(12);
  });

  it.runIf(there).each(charts.filter((id) => /redis|cert-manager-v1.18|ingress-nginx|efs-csi/.test(id)))(
    '%s: without any one of its overrides, the proof fails',
    async (id) => {
      const { request } = await requestFor(id);
      const derivation = await deriveOverrides(request);
      if (derivation.kind !== 'derived') throw new Error(derivation.why);
      expect((await checkOverrides(request, derivation, derivation.values)).proof.holds).toBe(true);
      for (const { path } of derivation.settings) {
        const { proof } = await checkOverrides(request, derivation, without(derivation.values, path.map(String)));
        expect(proof.holds, formatPath(path)).toBe(false);
        expect(proof.failures[0]?.why).toContain(prefix);
      }
    },
  );
});

function without(values: Values, [key = '', ...rest]: readonly string[]): Values {
  return Object.fromEntries(
    Object.entries(values).flatMap(([each, value]) => {
      if (each !== key) return [[each, value]];
      return rest.length > 0 && isMap(value) ? [[each, without(value, rest)]] : [];
    }),
  );
}
