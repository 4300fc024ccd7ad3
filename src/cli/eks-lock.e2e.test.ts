import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { startStandIns, type StandIns } from '../../test/stand-ins.ts';
import { describeWith, requireTool } from '../../test/tools.ts';
import { ChartIsolation } from '../model/isolation.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import { parseLock } from '../publish/lock.ts';
import { type ChartSpec, deployment, packageChart, sampleHosts } from '../testing/sample-charts.ts';

// The lock of charts that are rendered and proven, with the real helm.
const { open } = sampleHosts;

/** One image that a value moves, one that stands in the template; names that differ from render to render. */
const mixed: ChartSpec = {
  name: 'mixed',
  version: '2.0.0',
  values: { image: 'sample/worker:5.1' },
  templates: {
    'run.yaml': deployment(`- name: a\n  image: {{ .Values.image }}\n- name: b\n  image: ${open}/helper/shell:1.0`),
    'job.yaml': `apiVersion: batch/v1
kind: Job
metadata:
  name: job-{{ randAlphaNum 8 | lower }}
  annotations:
    stamp: {{ now | quote }}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: a
          image: {{ .Values.image }}
`,
  },
};

describeWith(['helm4'], 'the lock of charts that are rendered', () => {
  let world: StandIns;
  let target: RegistryServer;
  let env: Variables;
  beforeEach(async () => {
    [world, target] = await Promise.all([startStandIns(), startRegistryServer({ manners: 'plain' })]);
    await world.charts.add(packageChart(mixed));
    const bin = join(world.folder, 'bin');
    await mkdir(bin);
    await symlink(requireTool('helm4'), join(bin, 'helm'));
    env = { ...world.env, PATH: [bin, dirname(process.execPath), '/usr/bin', '/bin'].join(':') };
    const chart = { name: 'mixed', repository: world.charts.url, version: '2.0.0' };
    await writeFile(join(world.dataDir, 'default.yaml'), stringify({ charts: { mixed: chart } }));
    const mappings = { [open]: world.open.host, default: world.open.host };
    await writeFile(join(world.dataDir, '1.30.yaml'), stringify({ docker_mappings: mappings }));
  });
  afterEach(async () => {
    await Promise.all([world.close(), target.close()]);
  });

  async function eks(args: readonly string[], changes: Variables = {}): Promise<ProgramRun> {
    const run = await runProgram(['eks', '--out', world.out, '--target', target.host, ...args], { ...env, ...changes });
    expect(run.status, run.stdout + run.stderr).toBe(0);
    return run;
  }
  const fromData = (policy: string): Promise<ProgramRun> =>
    eks(['--data-dir', world.dataDir, '--eks-version', '1.30'], { SEEDFARMER_PARAMETER_UNCONTROLLED_IMAGES: policy });
  const left = (name: string): Promise<string> => readFile(join(world.out, name), 'utf8');

  it.each(['WARN', 'PATCH'])(
    'is the same over two runs, and gives the run again: UncontrolledImages %s',
    async (policy) => {
      await fromData(policy);
      const text = await left('replication.lock.json');
      const [chart] = parseLock(text, 'lock').charts;
      expect(chart?.isolation).toMatchObject({ holds: true, profiles: ['default'] });
      expect(chart?.isolation?.references.map(({ outcome, proof }) => `${outcome} ${proof}`)).toEqual(
        policy === 'WARN' ? ['uncontrolled none', 'repointed proven'] : ['patched proven', 'repointed proven'],
      );
      expect(chart?.digest === chart?.source.digest).toBe(policy === 'WARN');
      const [result, isolation, plan] = await Promise.all(
        ['replication_result.json', 'isolation.json', 'plan.json'].map(left),
      );
      await rm(world.out, { recursive: true });
      await fromData(policy);
      expect([await left('replication.lock.json'), await left('plan.json')]).toEqual([text, plan]);

      // Into an empty registry of the same name, without helm and data files.
      const path = join(world.folder, 'kept.lock.json');
      await writeFile(path, text);
      for (const name of target.repositories()) for (const tag of target.tags(name)) target.deleteTag(name, tag);
      await rm(world.out, { recursive: true });
      await rm(world.dataDir, { recursive: true });
      const again = await eks(['--lock', path], { PATH: '' });
      expect(again.stdout).toContain('the proof is that of the lock');
      if (policy === 'PATCH') expect(await left('patches/mixed.patch')).toBe(chart?.patch);
      else await expect(left('patches/mixed.patch')).rejects.toThrow('ENOENT');
      expect([await left('replication.lock.json'), await left('replication_result.json')]).toEqual([text, result]);
      const proof = (json: string) =>
        ChartIsolation.array()
          .parse(JSON.parse(json))
          .map(({ references, holds }) => [holds, references.map((each) => [each.reference, each.target, each.proof])]);
      expect(proof(await left('isolation.json'))).toEqual(proof(isolation ?? ''));
      const verified = await runProgram(['verify', '--lock', path, '--out', world.out], env);
      expect(verified.status, verified.stdout).toBe(0);
    },
  );
});
