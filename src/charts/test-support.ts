/** For tests of this room only: archives of any kind, and downloads without src/registry. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Header } from 'tar';
import type { BasicCredential } from '../model/credentials.ts';
import { directNetwork } from '../model/network.ts';
import { httpDownloads } from '../registry/download.ts';
import { createTransport } from '../registry/transport.ts';
import { silentReporter } from '../report/events.ts';
import type { Downloads } from './downloads.ts';

export interface Member {
  readonly path: string;
  readonly content?: string | Uint8Array;
  readonly type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link' | 'CharacterDevice' | 'FIFO';
  readonly linkpath?: string;
  /** Size in the header, where it should differ from the content's. */
  readonly size?: number;
}

/** An uncompressed tar of exactly these members, hostile ones included; deterministic. */
export function tarOf(members: readonly Member[]): Buffer {
  const blocks: Buffer[] = [];
  for (const { path, content = '', type = 'File', linkpath, size } of members) {
    const bytes = Buffer.from(content);
    const block = Buffer.alloc(512);
    const header = new Header({
      path,
      type,
      size: size ?? bytes.length,
      mode: 0o644,
      mtime: new Date(0),
      uid: 0,
      gid: 0,
      ...(linkpath === undefined ? {} : { linkpath }),
    });
    header.encode(block);
    blocks.push(block, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export function tgzOf(members: readonly Member[], level = 9): Buffer {
  return gzipSync(tarOf(members), { level });
}

export function chartYaml(name: string, version: string, more = ''): string {
  return `apiVersion: v2\nname: ${name}\nversion: ${version}\n${more}`;
}

/** A packaged chart: Chart.yaml, values.yaml, one template, and whatever else is given (paths inside the chart's folder). */
export function chartOf(
  name: string,
  version: string,
  files: Readonly<Record<string, string | Uint8Array>> = {},
): Buffer {
  const all: Readonly<Record<string, string | Uint8Array>> = {
    'Chart.yaml': chartYaml(name, version),
    'values.yaml': 'image:\n  repository: example/app\n',
    'templates/pod.yaml':
      'apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Release.Name }}}\nspec: {containers: [{name: a, image: "{{ .Values.image.repository }}:{{ .Chart.Version }}"}]}\n',
    ...files,
  };
  return tgzOf(Object.entries(all).map(([path, content]) => ({ path: `${name}/${path}`, content })));
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The real downloads, with these credentials by host; nothing is retried for long. */
export function downloadsWith(credentials: Readonly<Record<string, BasicCredential>> = {}): Downloads {
  const transport = createTransport({
    network: directNetwork,
    reporter: silentReporter,
    retry: { attempts: 2, baseMs: 1, maxMs: 5 },
  });
  return httpDownloads(transport, { credentialFor: (host) => Promise.resolve(credentials[host]) });
}

export interface TestServer {
  readonly url: string;
  /** `METHOD path?query` of every request, in order. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

export async function serve(handle: RequestListener): Promise<TestServer> {
  const requests: string[] = [];
  const server: Server = createServer((request: IncomingMessage, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Serves a map of paths (query ignored); anything else is 404. */
export function serveFiles(files: ReadonlyMap<string, string | Uint8Array>): Promise<TestServer> {
  return serve((request, response) => {
    const content = files.get(new URL(request.url ?? '/', 'http://x').pathname);
    if (content === undefined) response.writeHead(404).end('not here');
    else response.writeHead(200).end(content);
  });
}

/** A signal that never fires. */
export function calm(): AbortSignal {
  return new AbortController().signal;
}
