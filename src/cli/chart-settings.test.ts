import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ChartCommand, chartSettings } from './chart-settings.ts';

describe('the options of chart', () => {
  const now = new Date('2024-01-15T10:30:59.900Z');
  const settings = (command: Partial<ChartCommand> = {}, env: Readonly<Record<string, string>> = {}) =>
    chartSettings({ out: 'out', ...command }, env, now);

  it('have the defaults of the document', async () => {
    expect(await settings()).toMatchObject({
      chart: { chart: 'runwhen-contrib/runwhen-local', repository: undefined, version: '' },
      prefix: 'test-rwl-runwhen',
      branch: 'main',
      region: 'us-west-2',
      codeCollectionRegistry: 'us-west1-docker.pkg.dev/runwhen-nonprod-beta/public-images',
      codeCollections: 'discover',
      tags: { kind: 'same' },
      platforms: 'all',
      valuesFiles: [],
      extraImages: undefined,
      updatedValues: 'updated_values.yaml',
      allowFallback: false,
      uncontrolled: 'WARN',
    });
  });

  it('take what the document’s variables and examples say', async () => {
    const command = {
      chart: './charts/runwhen-local',
      branch: 'develop',
      prefix: '/my-company/runwhen/',
      arch: 'amd64',
    };
    expect(await settings({ ...command, dateTags: true }, { AWS_REGION: 'eu-west-1' })).toMatchObject({
      chart: { chart: './charts/runwhen-local' },
      branch: 'develop',
      prefix: 'my-company/runwhen',
      region: 'eu-west-1',
      platforms: ['linux/amd64'],
      // In UTC, and one for the whole run.
      tags: { kind: 'stamp', stamp: '20240115103059' },
    });
    expect(await settings({ latest: true, region: 'eu-west-2' })).toMatchObject({
      tags: { kind: 'newest' },
      region: 'eu-west-2',
    });
  });

  it('leave the code collections to the static list with -c "", unless something is said of them', async () => {
    const choice = async (command: Partial<ChartCommand>) => (await settings(command)).codeCollections;
    expect(await choice({ chart: '' })).toBe('static');
    expect(await choice({ chart: '', branch: 'main' })).toBe('discover');
    expect(await choice({ chart: '', codeCollections: './checkout' })).toBe('discover');
    expect(await choice({ codeCollections: false })).toBe('none');
  });

  it('merge values files as helm does, and tell everything that is wrong with them at once', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'chart-settings-'));
    try {
      const file = async (name: string, text: string): Promise<string> => {
        await writeFile(join(folder, name), text);
        return join(folder, name);
      };
      const values = [
        await file('a.yaml', 'a: {b: 1, c: [1, 2]}\n'),
        await file('b.yaml', '\uFEFFa: {c: [3], d: null}\n'),
        await file('c.yaml', '# nothing\n'),
      ];
      expect((await settings({ values })).values).toEqual({ a: { b: 1, c: [3], d: null } });
      const wrong = [await file('list.yaml', '- a\n'), await file('broken.yaml', 'a: 1\nb: [\n')];
      await expect(settings({ values: [wrong[0] ?? ''] })).rejects.toThrow('list.yaml: values are a map');
      await expect(settings({ values: [wrong[1] ?? ''] })).rejects.toThrow(/broken\.yaml:\d: is no valid YAML/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
