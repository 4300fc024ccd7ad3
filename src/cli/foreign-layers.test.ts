import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runProgram, type ProgramRun } from '../../test/program.ts';
import { createAuthority } from '../testing/certificates.ts';
import { buildImage } from '../testing/image-builder.ts';
import { baseLayer, foreignLayer } from '../testing/image-layers.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

// Foreign layers (OCI image-spec v1.1 layer.md "Non-Distributable Layers"): the registry need not hold them, their vendor does.

const content = Buffer.alloc(300_000, 'windows');
let folder: string;
let source: RegistryServer;
let target: RegistryServer;
let env: Record<string, string>;
let vendor: string;
let asked: { readonly url: string | undefined; readonly authorization: string | undefined }[] = [];
let closing: (() => void)[];

beforeEach(async () => {
  [asked, closing] = [[], []];
  folder = await mkdtemp(join(tmpdir(), 'foreign-'));
  [source, target] = await Promise.all([
    startRegistryServer({ manners: 'plain' }),
    startRegistryServer({ manners: 'plain' }),
  ]);
  const authority = await createAuthority();
  const server = createServer(await authority.issue(['localhost']), (request, response) => {
    asked.push({ url: request.url, authorization: request.headers.authorization });
    if (request.url === '/layer') response.end(content);
    else if (request.url === '/wrong') response.end(Buffer.alloc(content.length, 'x'));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  closing.push(
    () => void server.close(),
    () => server.closeAllConnections(),
  );
  vendor = `https://localhost:${(server.address() as AddressInfo).port}`; // listening on TCP
  await writeFile(join(folder, 'ca.pem'), authority.certificate);
  env = { PATH: '', HOME: folder, TMPDIR: folder, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') };
});
afterEach(async () => {
  for (const close of closing) close();
  await Promise.all([source.close(), target.close()]);
  await rm(folder, { recursive: true, force: true });
});

async function copy(name: string, urls: readonly string[]): Promise<{ run: ProgramRun; digest: string }> {
  const layer = foreignLayer(content, urls);
  await source.putImage(`team/${name}`, '1', buildImage({ name, layers: () => [baseLayer('docker'), layer], format: 'docker' }));
  await writeFile(join(folder, 'list'), `${source.host}/team/${name}:1 ${target.host}/${name}:1\n`);
  const run = await runProgram(['images', '--list', join(folder, 'list'), '--out', join(folder, 'out')], env);
  return { run, digest: layer.descriptor.digest };
} // prettier-ignore

describe('a foreign layer that the registry does not hold', () => {
  it('comes from its vendor, read once, without credentials', async () => {
    const { run, digest } = await copy('windows', [`${vendor}/layer`]);
    expect(run.status, run.stdout).toBe(0);
    expect(target.hasBlob('windows', digest)).toBe(true);
    expect(asked).toEqual([{ url: '/layer', authorization: undefined }]);
    expect(source.requests.of((entry) => entry.class === 'blob-get' && entry.reference === digest)).toMatchObject([{ status: 404 }]);
  }); // prettier-ignore

  it.each([
    ['gone', () => `${vendor}/gone`],
    ['plain', () => vendor.replace('https', 'http') + '/layer'],
  ])('stays there with a notice where its address does not give it (%s)', async (name, url) => {
    const { run, digest } = await copy(name, [url()]);
    expect(run.status, run.stdout).toBe(0);
    expect(target.hasBlob(name, digest)).toBe(false);
    expect(target.manifest(name, '1')).toBeDefined();
    expect(run.stdout).toContain(`the foreign layer ${digest} stays at ${url()}`);
  });

  it('fails the image where its vendor sends something else', async () => {
    const { run, digest } = await copy('wrong', [`${vendor}/wrong`]);
    expect(run.status).toBe(1);
    expect(target.hasBlob('wrong', digest)).toBe(false);
    expect(run.stdout).toContain(digest);
  });
});
