import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import * as z from 'zod';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import type { Failure } from '../model/result.ts';
import type { RunEvent } from '../report/events.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import { startProxyServer } from '../testing/proxy-server.ts';
import { withLoginRemedies } from './login-remedy.ts';

let folder: string;
let closed: RegistryServer;
let target: RegistryServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'credentials-test-'));
  const auth = { kind: 'basic', username: 'reader', password: 'a-password' } as const;
  [closed, target] = await Promise.all([
    startRegistryServer({ manners: 'plain', auth }),
    startRegistryServer({ manners: 'plain' }),
  ]);
});
afterAll(async () => {
  await Promise.all([closed.close(), target.close()]);
  await rm(folder, { recursive: true, force: true });
});

function run(args: readonly string[], changes: Variables = {}): Promise<ProgramRun> {
  return runProgram([...args, '--out', folder], { PATH: '', HOME: folder, TMPDIR: folder, ...changes });
}

const Record = z.object({
  outcomes: z.array(z.object({ failures: z.array(z.object({ code: z.string(), remedy: z.string() })) })),
});

describe('a host that wants credentials', () => {
  it('comes with how the job is given them: docker login', async () => {
    await writeFile(join(folder, 'list'), `${closed.host}/app:1 ${target.host}/app:1`);
    const { status, stdout } = await run(['images', '--list', join(folder, 'list')]);
    expect(status, stdout).toBe(1);
    const remedy = `give credentials for ${closed.host} (docker login ${closed.host}), or check the ones given`;
    expect(stdout).toContain(`what to do: ${remedy}`);
    const record = Record.parse(JSON.parse(await readFile(join(folder, 'run.json'), 'utf8')));
    expect(record.outcomes).toEqual([{ failures: [{ code: 'unauthorized', remedy }] }]);
  });

  it('or the parameter of ecr', async () => {
    const list = ['--source-type', 'Public', '--src-list', 'SELECTED', '--src-image-list', `${closed.host}/app:1`];
    const { status, stdout } = await run(['ecr', ...list, '--target', target.host, '--tries', '1']);
    expect(status, stdout).toBe(1);
    expect(stdout).toContain(
      `(docker login ${closed.host}, or --source-type Private with --src-credential), or check the ones given`,
    );
  });
});

describe('what an error of a host says is to be done', () => {
  const failure: Failure = {
    artifact: 'ghcr.io/team/app:1',
    side: 'source',
    reference: undefined,
    digest: undefined,
    host: 'ghcr.io',
    code: 'unauthorized',
    cause: 'ghcr.io answered 401',
    remedy: 'wait some minutes and run again, or give credentials for ghcr.io: known users have higher limits',
  };
  const told = (job: string, change: Partial<Failure> = {}, env: Variables = {}): string | undefined => {
    const remedies: (string | undefined)[] = [];
    const reporter = { emit: (event: RunEvent) => event.type === 'failed' && remedies.push(event.failure.remedy) };
    withLoginRemedies(job, env, reporter).emit({ type: 'failed', failure: { ...failure, ...change } });
    return remedies[0];
  };

  it('names what eks has: its secret for sources, docker login for a target', () => {
    expect(told('eks')).toBe(
      'wait some minutes and run again, or give credentials for ghcr.io (an entry "ghcr.io" in a secret that the parameter HelmRepoSecretName names): known users have higher limits',
    );
    const env = { SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'team/registry' };
    expect(told('eks', {}, env)).toContain('for ghcr.io (an entry "ghcr.io" in the secret team/registry): known');
    expect(told('eks', { side: 'target' }, env)).toContain('for ghcr.io (docker login ghcr.io): known');
    expect(told('mirror')).toContain('for ghcr.io (docker login ghcr.io): known');
  });

  it('stays as it is where no credentials are to be given, and for ECR', () => {
    const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
    const remedy = `give credentials for ${host}, or check the ones given`;
    expect(told('images', { host, remedy })).toBe(remedy);
    expect(told('images', { remedy: 'run again' })).toBe('run again');
    expect(told('images', { remedy: undefined })).toBeUndefined();
  });
});

describe('plain HTTP to a host that is not loopback', () => {
  it('is spoken with --insecure-host alone; without it the error names that', async () => {
    const name = 'registry.example.test:5000';
    // The name leads to the registry by way of a proxy; no name server is asked.
    const [source, proxy] = await Promise.all([startRegistryServer({ manners: 'plain' }), startProxyServer()]);
    onTestFinished(async () => {
      await Promise.all([source.close(), proxy.close()]);
    });
    proxy.route(name, source.host);
    await source.putImage('app', '1', buildImage({ name: 'plain' }));
    await writeFile(join(folder, 'list'), `${name}/app:1 ${target.host}/plain:1`);
    const args = ['images', '--list', join(folder, 'list')];
    const env = { HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url };
    const refused = await run(args, env);
    expect(refused.status, refused.stdout).toBe(1);
    expect(refused.stdout).toContain(`(source ${name}, unreachable)`);
    expect(refused.stdout).toContain('the TLS handshake failed');
    expect(refused.stdout).toContain(
      `what to do: if ${name} speaks plain HTTP only, allow that with --insecure-host ${name}`,
    );
    expect(source.requests.of(() => true)).toEqual([]);
    const allowed = await run([...args, '--insecure-host', name], env);
    expect(allowed.status, allowed.stdout).toBe(0);
    expect(target.tags('plain')).toEqual(['1']);
  }, 60_000);
});
