import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';
import { digestOf } from '../model/digest.ts';
import { type Answer, jsonAnswer } from './answer.ts';
import { startChartServer } from './chart-server.ts';
import { FaultQueue, JsonFaultRule } from './faults.ts';
import { type Exchange, startHttpHost } from './http-host.ts';
import { artifactOf, buildImage, type ImageContent, jsonBlob } from './image-builder.ts';
import { syntheticLayer } from './image-layers.ts';
import { type RegistryServer, startRegistryServer } from './registry-server.ts';
import { requestClasses, RequestLog } from './request-log.ts';
import { pushSampleImages, sampleCharts } from './samples.ts';

/**
 * Test servers in a process of their own, for programs under test that are processes too:
 * `node --import tsx src/testing/serve.ts config.json` prints one line of JSON with the addresses, then serves until it
 * is told to stop (SIGTERM), or until its standard input ends where the configuration says so.
 *
 * Interface beside the servers' own, at `admin`: `GET /__admin/<name>/log`, `DELETE /__admin/<name>/log`,
 * `POST /__admin/<name>/faults` (a rule), `DELETE /__admin/<name>/faults`, `POST /__admin/<name>/expire-tokens`,
 * `GET /__admin/<name>/content`, `GET /__admin/<name>/permissions`.
 */
const Tls = z.strictObject({ key: z.string(), cert: z.string() });
const Rate = z.strictObject({ perSecond: z.number(), burst: z.number() });
const Auth = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }),
  z.strictObject({ kind: z.literal('basic'), username: z.string(), password: z.string() }),
  z.strictObject({
    kind: z.literal('bearer'),
    username: z.string().optional(),
    password: z.string().optional(),
    anonymousPull: z.boolean().optional(),
    expiresIn: z.number().optional(),
    service: z.string().nullable().optional(),
    separateTokenServer: z.boolean().optional(),
  }),
  z.strictObject({ kind: z.literal('ecr-token'), expiresIn: z.number().optional() }),
]);

/** An image made of synthetic layers of these sizes in bytes: content that neither disk nor memory has to hold. */
const SyntheticImage = z.strictObject({
  repository: z.string(),
  tag: z.string(),
  layers: z.array(z.number().int().positive()),
});

const RegistryConfig = z.strictObject({
  manners: z.enum(['plain', 'ecr']),
  auth: Auth.optional(),
  storage: z.union([z.literal('memory'), z.literal('discard'), z.strictObject({ directory: z.string() })]).optional(),
  mounting: z.boolean().optional(),
  manifestPutRate: Rate.optional(),
  /** Other rates, by class of request. */
  rates: z.partialRecord(z.enum(requestClasses), Rate).optional(),
  blobRedirect: z.boolean().optional(),
  redirectSeconds: z.number().optional(),
  referrersApi: z.boolean().optional(),
  tls: Tls.optional(),
  port: z.number().int().optional(),
  accountId: z.string().optional(),
  region: z.string().optional(),
  partition: z.string().optional(),
  hostName: z.string().optional(),
  principal: z.string().optional(),
  policy: z
    .array(
      z.strictObject({
        effect: z.enum(['Allow', 'Deny']),
        actions: z.array(z.string()),
        resources: z.array(z.string()),
      }),
    )
    .optional(),
  storageHostName: z.string().optional(),
  repositories: z.array(z.string()).optional(),
  images: z.array(SyntheticImage).optional(),
});

const ServeConfig = z.strictObject({
  registries: z.record(z.string(), RegistryConfig).default({}),
  charts: z
    .record(
      z.string(),
      z.strictObject({
        /** `sample` for the project's own charts, else a folder of packages. */
        content: z.union([z.literal('sample'), z.strictObject({ directory: z.string() })]),
        auth: z.strictObject({ username: z.string(), password: z.string() }).optional(),
        tls: Tls.optional(),
        port: z.number().int().optional(),
      }),
    )
    .default({}),
  /** Stop when standard input ends: a test that dies takes its servers with it (spawn with a pipe as stdin then). */
  untilStdinEnds: z.boolean().default(false),
  /** Names of the registries that get the sample images. */
  sampleImages: z.strictObject({ open: z.string(), private: z.string() }).optional(),
});
export type ServeConfig = z.input<typeof ServeConfig>;

/** What is printed when everything listens. */
export const ServeReady = z.object({
  admin: z.string(),
  registries: z.record(z.string(), z.object({ host: z.string(), hostName: z.string(), url: z.string() })),
  charts: z.record(z.string(), z.object({ host: z.string(), url: z.string() })),
});
export type ServeReady = z.infer<typeof ServeReady>;

/** A running set of servers. */
export interface Serving {
  readonly ready: ServeReady;
  close(): Promise<void>;
}

/** Starts all servers of a configuration, with the interface to control them. */
export async function serve(input: ServeConfig): Promise<Serving> {
  const config = ServeConfig.parse(input);
  const registries = new Map<string, RegistryServer>();
  const charts = new Map<string, Awaited<ReturnType<typeof startChartServer>>>();
  for (const [name, { repositories, images, ...options }] of Object.entries(config.registries)) {
    const server = await startRegistryServer(options);
    registries.set(name, server);
    for (const repository of repositories ?? []) {
      if (server.repository(repository) === undefined) server.createRepository(repository);
    }
    for (const { repository, tag, layers } of images ?? []) {
      await server.putImage(repository, tag, await syntheticImage(`${repository}:${tag}`, layers));
    }
  }
  if (config.sampleImages !== undefined) {
    const { open, private: closed } = config.sampleImages;
    await pushSampleImages({ open: needed(registries, open), private: needed(registries, closed) });
  }
  for (const [name, { content, ...options }] of Object.entries(config.charts)) {
    const from = content === 'sample' ? { charts: sampleCharts() } : content;
    charts.set(name, await startChartServer({ ...options, ...from }));
  }
  const admin = await startHttpHost({
    log: new RequestLog(),
    faults: new FaultQueue(),
    classify: () => ({ class: 'other' }),
    handle: (exchange) => administrate(new Map<string, Controlled>([...charts, ...registries]), registries, exchange),
  });
  const ready = {
    admin: admin.url,
    registries: Object.fromEntries(
      [...registries].map(([name, { host, hostName, url }]) => [name, { host, hostName, url }]),
    ),
    charts: Object.fromEntries([...charts].map(([name, { host, url }]) => [name, { host, url }])),
  };
  const closing = [admin, ...registries.values(), ...charts.values()];
  return {
    ready,
    async close() {
      await Promise.all(closing.map((server) => server.close()));
    },
  };
}

function needed<T>(servers: ReadonlyMap<string, T>, name: string): T {
  const server = servers.get(name);
  if (server === undefined) throw new Error(`the configuration has no server "${name}"`);
  return server;
}

/** An image of linux/amd64 with synthetic layers, and its index. */
export async function syntheticImage(name: string, layerSizes: readonly number[]): Promise<ImageContent> {
  const layers = await Promise.all(layerSizes.map((size, index) => syntheticLayer(`${name}#${index}`, size)));
  if (layers.length === 0) return artifactOf({ config: jsonBlob({}, 'application/vnd.oci.empty.v1+json'), layers });
  return buildImage({ name: digestOf(name).slice(7, 19), platforms: ['linux/amd64'], layers: () => layers });
}

interface Controlled {
  readonly requests: RequestLog;
  readonly faults: FaultQueue;
}

async function administrate(
  servers: ReadonlyMap<string, Controlled>,
  registries: ReadonlyMap<string, RegistryServer>,
  exchange: Exchange,
): Promise<Answer> {
  const [, name = '', what = ''] = /^\/__admin\/([^/]+)\/([^/]+)$/.exec(exchange.url.pathname) ?? [];
  const server = needed(servers, name);
  const registry = registries.get(name);
  switch (`${exchange.method} ${what}`) {
    case 'GET log':
      return jsonAnswer(200, server.requests.entries);
    case 'DELETE log':
      server.requests.reset();
      return jsonAnswer(200, {});
    case 'POST faults':
      server.faults.add(JsonFaultRule.parse(JSON.parse(await bodyOf(exchange))));
      return jsonAnswer(200, { pending: server.faults.pending });
    case 'DELETE faults':
      server.faults.clear();
      return jsonAnswer(200, {});
    case 'POST expire-tokens':
      registry?.expireTokens();
      return jsonAnswer(200, {});
    case 'GET permissions':
      return jsonAnswer(200, registry?.iam.used() ?? []);
    case 'GET content':
      return jsonAnswer(200, registry === undefined ? {} : contentOf(registry));
    default:
      return jsonAnswer(404, { error: `${exchange.method} ${exchange.url.pathname} is not known here` });
  }
}

function contentOf(registry: RegistryServer): unknown {
  return Object.fromEntries(
    registry.repositories().map((name) => {
      const repository = registry.repository(name);
      return [
        name,
        {
          tags: Object.fromEntries(repository?.tags ?? []),
          manifests: [...(repository?.manifests.keys() ?? [])],
          blobs: [...(repository?.blobs ?? [])],
          resourceTags: Object.fromEntries(repository?.resourceTags ?? []),
          settings: repository?.settings,
        },
      ];
    }),
  );
}

async function bodyOf(exchange: Exchange): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of exchange.body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** One entry of the log as the admin interface gives it. */
export const AdminLogEntry = z.looseObject({
  class: z.string(),
  method: z.string(),
  path: z.string(),
  status: z.number(),
  bytesIn: z.number(),
  bytesOut: z.number(),
  repository: z.string().optional(),
  reference: z.string().optional(),
  action: z.string().optional(),
  headers: z.custom<IncomingHttpHeaders>((value) => typeof value === 'object' && value !== null),
});

async function main(file: string): Promise<void> {
  const config = ServeConfig.parse(JSON.parse(readFileSync(file, 'utf8')));
  const serving = await serve(config);
  process.stdout.write(`${JSON.stringify(serving.ready)}\n`);
  const stop = (): void => {
    void serving.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  if (config.untilStdinEnds) process.stdin.once('end', stop).resume();
}

const [, program = '', file] = process.argv;
if (import.meta.url === pathToFileURL(program).href) {
  if (file === undefined) throw new Error('usage: node --import tsx src/testing/serve.ts config.json');
  await main(file);
}
