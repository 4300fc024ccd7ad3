import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { describeWith, requireTool, root } from '../../../test/tools.ts';
import { helmVersion } from '../helm.ts';
import { createRenderer } from '../render/render-chart.ts';
import { calm } from '../test-support.ts';
import { discover, type Discovery } from './discover.ts';
import type { FoundKind } from './found.ts';

// Real charts are not part of the project: a folder of them may stand beside its checkout (packages in repos/, the references
// that they render, read by eye, in refs/, values that they need in values/). REAL_CHARTS names another place.
const folder = process.env['REAL_CHARTS'] ?? join(root, '../shared/charts');
const there = existsSync(join(folder, 'refs'));
if (!there) console.warn(`SKIPPED: discovery in real charts: there is no ${folder} (REAL_CHARTS names another)`);

const Refs = z.object({
  repo: z.string(),
  chart: z.string(),
  version: z.string(),
  values: z.array(z.string()).nullish(),
  kubeVersion: z.string(),
  refs: z.array(z.object({ ref: z.string(), kind: z.string() })),
});

const kinds: Readonly<Record<string, FoundKind>> = {
  typed: 'typed',
  cr: 'field',
  split: 'field',
  arg: 'text',
  env: 'text',
};

describeWith(['helm3'], 'discovery in real charts', () => {
  it.runIf(there)('finds every reference with its kind, and invents none', async () => {
    const path = requireTool('helm3');
    const renderer = createRenderer({ path, version: await helmVersion(path, calm()) });
    const totals = { charts: 0, wanted: 0, found: 0, invented: 0 };
    const problems: string[] = [];
    const check = async (file: string): Promise<void> => {
      const { repo, chart, version, kubeVersion, refs, values } = Refs.parse(
        JSON.parse(await readFile(join(folder, 'refs', file), 'utf8')),
      );
      const set = await Promise.all(
        (values ?? []).map(
          async (each) => parse(await readFile(join(folder, each), 'utf8')) as Record<string, unknown>,
        ),
      );
      const archive = await readFile(join(folder, 'repos', repo, `${chart}-${version}.tgz`));
      const outcome = await renderer.render({ chart: archive, values: set, kubeVersion, signal: calm() });
      if (outcome.kind === 'refused') throw new Error(`${file}: ${outcome.refusal.message}`);
      const got: Discovery = discover(outcome.text);
      const has = new Set(got.references.map(({ text, kind }) => `${kind} ${text}`));
      const wanted = new Set(refs.map(({ ref, kind }) => `${kinds[kind] ?? 'text'} ${ref}`));
      const missed = [...wanted].filter((each) => !has.has(each));
      const invented = [...has].filter((each) => !wanted.has(each));
      problems.push(
        ...missed.map((each) => `${file}: missed ${each}`),
        ...invented.map((each) => `${file}: invented ${each}`),
      );
      problems.push(...got.broken.map(({ template, message }) => `${file}: ${template}: ${message}`));
      totals.charts += 1;
      totals.wanted += wanted.size;
      totals.found += wanted.size - missed.length;
      totals.invented += invented.length;
    };
    await Promise.all((await readdir(join(folder, 'refs'))).map(check));
    console.warn(
      `discovery in ${totals.charts} real charts: recall ${totals.found}/${totals.wanted}, invented before confirmation ${totals.invented}`,
    );
    expect(problems).toEqual([]);
    expect(totals.wanted).toBeGreaterThan(0);
  });
});
