import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runHelm, withHelmHome } from './helm-process.ts';
import { renderChart } from './render/render-chart.ts';
import { calm } from './test-support.ts';

describe('running helm', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'helm-run-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const program = async (body: string): Promise<string> => {
    const path = join(folder, 'helm');
    await writeFile(path, `#!/bin/sh\n${body}\n`);
    await chmod(path, 0o755);
    return path;
  };
  const limits = { args: [], timeoutMs: 50_000, maxOutputBytes: 10_000 };

  it('gives it an environment of its own, and removes its folder afterwards', async () => {
    const helm = await program('env; pwd');
    process.env['HELM_KUBETOKEN'] = 'opensesame';
    let used = '';
    try {
      const { stdout } = await withHelmHome((home) => {
        used = home;
        return runHelm(helm, { ...limits, signal: calm(), home });
      });
      expect(stdout).not.toContain('opensesame');
      const names = stdout.split('\n').flatMap((line) => /^([A-Z_]+)=/.exec(line)?.[1] ?? []);
      const shell = ['PWD', 'OLDPWD', 'SHLVL', '_', 'PATH'];
      expect(names.filter((name) => !shell.includes(name)).sort()).toEqual([
        'HELM_CACHE_HOME',
        'HELM_CONFIG_HOME',
        'HELM_DATA_HOME',
        'HELM_NO_PLUGINS',
        'HOME',
        'HTTPS_PROXY',
        'HTTP_PROXY',
        'KUBECONFIG',
        'TMPDIR',
      ]);
      expect(stdout).toContain(`HOME=${used}\n`);
    } finally {
      delete process.env['HELM_KUBETOKEN'];
    }
    await expect(stat(used)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('kills it at the time limit, at the output limit, and when told to', async () => {
    const endless = await program('while :; do :; done');
    const stop = new AbortController();
    await withHelmHome(async (home) => {
      const slow = runHelm(endless, { ...limits, timeoutMs: 200, signal: calm(), home });
      await expect(slow).rejects.toMatchObject({
        code: 'refused',
        message: expect.stringMatching(/within 0\.2 s/) as string,
      });
      const stopped = runHelm(endless, { ...limits, signal: stop.signal, home });
      setTimeout(() => stop.abort(), 50);
      await expect(stopped).rejects.toMatchObject({ code: 'cancelled' });
      await expect(runHelm(endless, { ...limits, signal: stop.signal, home })).rejects.toThrow();
      const chatty = await program('while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done');
      const loud = runHelm(chatty, { ...limits, signal: calm(), home });
      await expect(loud).rejects.toMatchObject({
        code: 'refused',
        message: expect.stringMatching(/more than 10000 bytes/) as string,
      });
    });
  });

  it('says when it cannot be run, and what it said when it failed', async () => {
    await withHelmHome(async (home) => {
      await expect(runHelm(join(folder, 'none'), { ...limits, signal: calm(), home })).rejects.toMatchObject({
        code: 'storage',
      });
    });
    const path = await program(
      'echo "WARNING: noise" >&2; echo "Error: execution error at (x/values.yaml:1): need clusterName" >&2; exit 1',
    );
    const request = { chart: folder, kubeVersion: '1.34', signal: calm() };
    await expect(renderChart({ path, version: '3.20.0' }, request)).resolves.toMatchObject({
      kind: 'refused',
      refusal: { kind: 'fail', message: 'execution error at (x/values.yaml:1): need clusterName' },
    });
  });
});
