import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { create } from 'tar';
import { requireTool } from '../tools.ts';
import { startFront } from './front.ts';
import type { World } from './world.ts';

export interface HelmDistro {
  /** What HelmDistroUrl is set to. */
  readonly url: string;
  close(): Promise<void>;
}

/** An internal host that gives helm 3 out as get.helm.sh does, to those who know the password. */
export async function startHelmDistro(
  world: World,
  login: { readonly username: string; readonly password: string },
): Promise<HelmDistro> {
  const member = `linux-${process.arch === 'arm64' ? 'arm64' : 'amd64'}`;
  const folder = join(world.folder, 'distro');
  await mkdir(join(folder, member), { recursive: true });
  await copyFile(requireTool('helm3'), join(folder, member, 'helm'));
  const file = join(folder, 'helm.tar.gz');
  await create({ gzip: { level: 1 }, file, cwd: folder, portable: true }, [member]);
  const archive = await readFile(file);
  const files: Readonly<Record<string, Buffer | string>> = {
    '/helm.tar.gz': archive,
    '/helm.tar.gz.sha256sum': `${createHash('sha256').update(archive).digest('hex')}  helm.tar.gz\n`,
  };
  const expected = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  const server = createServer(({ url = '', headers }, outgoing) => {
    if (headers.authorization !== expected) {
      outgoing.writeHead(401, { 'www-authenticate': 'Basic realm="helm"' }).end();
    } else outgoing.writeHead(files[url] === undefined ? 404 : 200).end(files[url]);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server that listens has such an address.
  const { port } = server.address() as AddressInfo;
  const name = 'helm.example.com';
  const front = await startFront(world.authority, [name], () => `http://127.0.0.1:${port}`);
  world.proxy.route(`${name}:443`, front.host);
  return {
    url: `https://${name}/helm.tar.gz`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await Promise.all([closed, front.close()]);
    },
  };
}
