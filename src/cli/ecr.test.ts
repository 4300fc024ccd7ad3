import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type JsonApiServer, startJsonApiServer } from '../../test/json-api-server.ts';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { ImageStatus } from '../status/status.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

const login = { username: 'robot', password: 'vault-Pa55word' };

describe('ecr, from registries that are not ECR', () => {
  let open: RegistryServer;
  let vault: RegistryServer;
  let ecr: RegistryServer;
  let parameters: JsonApiServer;
  let folder: string;
  let env: Variables;
  beforeAll(async () => {
    [open, vault, ecr, parameters, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain', auth: { kind: 'basic', ...login } }),
      startRegistryServer({ manners: 'ecr' }),
      startJsonApiServer((_, input) => ({ output: { Parameter: { Value: parameter(input) } } })),
      mkdtemp(join(tmpdir(), 'image-replication-test-')),
    ]);
    for (const tag of ['1', '2']) await open.putImage('team/app', tag, buildImage({ name: `app-${tag}` }));
    await vault.putImage('team/gateway', '1', buildImage({ name: 'gateway' }));
    env = {
      PATH: process.env['PATH'],
      HOME: folder,
      AWS_REGION: 'us-east-1',
      AWS_ACCOUNT_ID: '123456789012',
      AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
      AWS_ENDPOINT_URL_ECR: ecr.url,
      AWS_ENDPOINT_URL_SSM: parameters.url,
    };
  });
  afterAll(async () => {
    await Promise.all([open.close(), vault.close(), ecr.close(), parameters.close()]);
    await rm(folder, { recursive: true, force: true });
  });
  const parameter = (input: unknown): string => {
    const name = z.object({ Name: z.string() }).parse(input).Name;
    return name === 'vault-login' ? JSON.stringify(login) : '{"access_key_id": "AKIA", "secret": "hidden-value"}';
  };
  const run = (...args: readonly string[]): Promise<ProgramRun> =>
    runProgram(['ecr', '--out', folder, '--src-list', 'SELECTED', ...args], env);
  const named = (server: RegistryServer, path: string): string => `${server.host.replace(':', '-')}/${path}`;

  it('copies listed images under the names that they are written with', async () => {
    const list = `${open.host}/team/app:ALL_TAGS`;
    const args = ['--source-type', 'Public', '--src-image-list', list, '--dest-region', 'us-east-1'];
    const first = await run(...args);
    expect(first.status, first.stdout).toBe(0);
    expect(ecr.tags(named(open, 'team/app'))).toEqual(['1', '2']);
    ecr.requests.reset();
    const second = await run(...args);
    expect(second.stdout).toContain('nothing to copy');
    expect(ecr.count('manifest-put')).toBe(0);
  });

  it('logs in to a private registry with a parameter’s username and password, and to no other', async () => {
    const common = ['--source-type', 'Private', '--dest-region', 'us-east-1', '--dest-prefix', 'p'];
    const two = `${vault.host}/team/gateway:1,${open.host}/team/app:1`;
    const both = await run(...common, '--src-image-list', two, '--src-credential', 'vault-login');
    expect(both.status).toBe(2);
    expect(both.stdout).toContain('--src-credential is for one registry');
    const list = ['--src-image-list', `${vault.host}/team/gateway:1`];
    const one = await run(...common, ...list, '--src-credential', 'vault-login');
    expect(one.status, one.stdout).toBe(0);
    expect(ecr.tags(`p/${named(vault, 'team/gateway')}`)).toEqual(['1']);
    expect(one.stdout).not.toContain(login.password);
    const wrong = await run(...common, ...list, '--src-credential', 'keys');
    expect(wrong.status).toBe(2);
    expect(wrong.stdout).toContain('the parameter "keys" holds no username and password');
    expect(wrong.stdout).not.toContain('hidden-value');
  });

  it('moves ten blobs at the same time and tries three times unless told otherwise', async () => {
    const help = (await runProgram(['ecr', '--help'], env)).stdout.replace(/\s+/g, ' ');
    expect(help).toContain('blobs moved at the same time (default: 10)');
    expect(help).toContain('how often an image is tried (default: 3)');
    const location = join(folder, 'planned');
    const list = ['--source-type', 'Public', '--src-image-list', `${open.host}/team/app:1`];
    const planned = await run(...list, '--target', `${open.host}/again`, '--shards', location);
    expect(planned.status, planned.stdout).toBe(0);
    const shard: unknown = JSON.parse(await readFile(join(location, 'shards/0000.json'), 'utf8'));
    expect(shard).toMatchObject({ concurrency: 10, tries: 3 });
  });

  it('writes an image layout', async () => {
    const layout = `oci-layout:${join(folder, 'bundle')}`;
    const list = ['--source-type', 'Public', '--src-image-list', `${open.host}/team/app:1`];
    const done = await run(...list, '--target', layout);
    expect(done.status, done.stdout).toBe(0);
    expect(await readFile(join(folder, 'bundle/index.json'), 'utf8')).toContain('team/app:1');
  });

  it('writes to any registry, under a path, and finds it unchanged afterwards', async () => {
    const other = await startRegistryServer({ manners: 'plain' });
    try {
      const list = ['--source-type', 'Public', '--src-image-list', `${open.host}/team/app:1`];
      const args = [...list, '--target', `${other.host}/copies`, '--yes'];
      const first = await run(...args);
      expect(first.status, first.stdout).toBe(0);
      expect(other.tags(`copies/${named(open, 'team/app')}`)).toEqual(['1']);
      other.requests.reset();
      const second = await run(...args);
      expect(second.status, second.stdout).toBe(0);
      expect(other.count('manifest-put')).toBe(0);
      const both = await run(...args, '--dest-region', 'us-east-1');
      expect(both.status, both.stdout).toBe(0);
      expect(both.stdout).toContain('--dest-region is ignored: --target');
      const pruned = await run(...args, '--prune');
      expect(pruned.stdout).toContain('--prune needs a registry of Amazon ECR on both sides');
    } finally {
      await other.close();
    }
  });

  it('replicates a lock of listed images, with the login of a parameter, and to a layout', async () => {
    const list = ['--source-type', 'Private', '--src-credential', 'vault-login'];
    const to = ['--dest-region', 'us-east-1'];
    const first = await run(...list, '--src-image-list', `${vault.host}/team/gateway:1`, ...to, '--dest-prefix', 'kept', '--write-lock'); // prettier-ignore
    expect(first.status, first.stdout).toBe(0);
    const lock = join(folder, 'kept.lock.json');
    await rename(join(folder, 'replication.lock.json'), lock);
    expect(await readFile(lock, 'utf8')).not.toContain(login.password);
    await vault.putImage('team/gateway', '1', buildImage({ name: 'gateway that moved' }));
    const args = ['ecr', '--out', folder, ...list, '--lock', lock];
    const again = await runProgram([...args, ...to], env);
    expect(again.status, again.stdout).toBe(0);
    const bundle = await runProgram([...args, '--target', `oci-layout:${join(folder, 'locked')}`], env);
    expect(bundle.status, bundle.stdout).toBe(0);
    const digest = ecr.manifest(`kept/${named(vault, 'team/gateway')}`, '1')?.descriptor.digest ?? 'none';
    expect(digest).toBe(buildImage({ name: 'gateway' }).digest);
    expect(await readFile(join(folder, 'locked/index.json'), 'utf8')).toContain(digest);
    await vault.putImage('team/gateway', '1', buildImage({ name: 'gateway' }));
  });

  it('counts with --plan what would be read, and what Docker Hub would count', async () => {
    const list = ['--source-type', 'Public', '--src-image-list', `${open.host}/team/app:1`, '--dest-prefix', 'later'];
    const planned = await run(...list, '--dest-region', 'us-east-1', '--plan');
    expect(planned.status, planned.stdout).toBe(0);
    expect(planned.stdout).toMatch(/requests: \d+ to sources, \d+ to the destination/);
    expect(ecr.repositories().filter((name) => name.startsWith('later'))).toEqual([]);
  });

  it('gives the status with --json as a line for each image, and no table', async () => {
    const { status, stdout } = await runProgram(['status', '--out', folder, '--json'], env);
    expect(status, stdout).toBe(0);
    const Line = z.looseObject({ time: z.iso.datetime(), type: z.string(), message: z.string().optional() });
    const events = stdout.trim().split('\n').map((line) => Line.parse(JSON.parse(line))); // prettier-ignore
    const kept = z.array(ImageStatus).parse(JSON.parse(await readFile(join(folder, 'status.json'), 'utf8')));
    expect(kept.length).toBeGreaterThan(1);
    const told = events.filter(({ type }) => type === 'image-status');
    expect(told.map((event) => ImageStatus.parse(event))).toEqual(kept);
    const notices = events.flatMap(({ message }) => message ?? []);
    expect(notices).toEqual([expect.stringMatching(/^\d+ images: /)]);
    const failed = await runProgram(['status', '--out', folder, '--json', '--state', 'failed'], env);
    expect(failed.stdout).not.toContain('"image-status"');
  });

  it('shows the status of a run, and says when there is none, or a broken one', async () => {
    const shown = await runProgram(['status', '--out', folder], env);
    expect(shown.status, shown.stdout).toBe(0);
    expect(shown.stdout).toMatch(/unchanged +0 {2}\S+Z {2}\S+team\/app:1/);
    const statuses = z.array(ImageStatus).parse(JSON.parse(await readFile(join(folder, 'status.json'), 'utf8')));
    expect(statuses.every(({ state }) => state !== 'pending' && state !== 'failed')).toBe(true);
    const none = await runProgram(['status', '--out', folder, '--store', `sqlite:${join(folder, 'none.db')}`], env);
    expect(none.status).toBe(2);
    expect(none.stdout).toContain('there is no status in');
    await writeFile(join(folder, 'text.db'), 'no database\n'.repeat(100));
    const broken = await runProgram(['status', '--out', folder, '--store', `sqlite:${join(folder, 'text.db')}`], env);
    expect(broken.status).toBe(1);
    expect(broken.stdout).toContain('it is no SQLite database');
  });
});
