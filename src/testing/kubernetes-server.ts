import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import * as z from 'zod';
import { type Answer, AnswerError, jsonAnswer } from './answer.ts';
import { FaultQueue } from './faults.ts';
import { type Exchange, startHttpHost, type TlsFiles } from './http-host.ts';
import { RequestLog } from './request-log.ts';

const Job = z.looseObject({
  apiVersion: z.literal('batch/v1'),
  kind: z.literal('Job'),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
  spec: z.looseObject({ completions: z.number().int(), parallelism: z.number().int() }),
});

/** A Job as the server keeps it. */
export interface StoredJob extends z.infer<typeof Job> {
  metadata: z.infer<typeof Job>['metadata'] & { uid: string; deletionTimestamp?: string };
  status: Record<string, unknown>;
}

export interface KubernetesServer {
  readonly host: string;
  readonly port: number;
  readonly jobs: Map<string, StoredJob>;
  readonly requests: RequestLog;
  readonly faults: FaultQueue;
  /** The one that is taken. */
  token: string;
  /** What the service account may do with jobs. */
  verbs: ReadonlySet<string>;
  /** How many looks a deleted Job stays for, as one with a finalizer does. */
  lingers: number;
  /** What the Job controller does with a Job that is new. */
  created: (job: StoredJob) => void;
  close(): Promise<void>;
}

/**
 * The part of a Kubernetes API server that deals with the Jobs of a namespace, with its texts: names that are taken,
 * preconditions, bearer tokens, RBAC. https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
export async function startKubernetesServer(options: {
  readonly tls: TlsFiles;
  readonly namespace: string;
  readonly token: string;
  /** 127.0.0.1 unless told. */
  readonly address?: string;
}): Promise<KubernetesServer> {
  const [requests, faults] = [new RequestLog(), new FaultQueue()];
  const host = await startHttpHost({
    tls: options.tls,
    host: options.address,
    log: requests,
    faults,
    classify: (method) => ({ class: 'api', action: method }),
    handle: (exchange) => answer(server, options.namespace, exchange),
  });
  const server: KubernetesServer = {
    host: host.host,
    port: host.port,
    jobs: new Map(),
    requests,
    faults,
    token: options.token,
    verbs: new Set(['create', 'get', 'delete']),
    lingers: 0,
    created: () => undefined,
    close: () => host.close(),
  };
  return server;
}

const verbs: Readonly<Record<string, string>> = { POST: 'create', GET: 'get', DELETE: 'delete' };

async function answer(server: KubernetesServer, namespace: string, exchange: Exchange): Promise<Answer> {
  const { method, url, headers, body } = exchange;
  if (headers.authorization !== `Bearer ${server.token}`) return status(401, 'Unauthorized', 'Unauthorized');
  const prefix = `/apis/batch/v1/namespaces/${namespace}/jobs`;
  if (!url.pathname.startsWith(prefix))
    return status(404, 'NotFound', 'the server could not find the requested resource');
  const name = url.pathname.slice(prefix.length + 1);
  const verb = verbs[method] ?? method;
  if (!server.verbs.has(verb)) return forbidden(verb, name, namespace);
  const content: unknown = JSON.parse((await text(body)) || 'null');
  if (verb === 'create') return create(server, namespace, content);
  const job = server.jobs.get(name);
  if (job === undefined) return status(404, 'NotFound', `jobs.batch "${name}" not found`);
  if (verb === 'delete') return remove(server, job, content);
  if (job.metadata.deletionTimestamp !== undefined && (server.lingers -= 1) < 0) server.jobs.delete(name);
  return jsonAnswer(200, job);
}

function create(server: KubernetesServer, namespace: string, content: unknown): Answer {
  const given = Job.safeParse(content);
  if (!given.success) return status(422, 'Invalid', `Job is invalid: ${z.prettifyError(given.error)}`);
  const { metadata, spec } = given.data;
  const { name } = metadata;
  // An Indexed Job's pods have host names: validateJobSpec in https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/batch/validation/validation.go
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(`${name}-${spec.completions - 1}`))
    return status(
      422,
      'Invalid',
      `Job.batch "${name}" is invalid: will not be able to create pod with invalid DNS label`,
    );
  if (server.jobs.has(name)) return status(409, 'AlreadyExists', `jobs.batch "${name}" already exists`);
  const job: StoredJob = {
    ...given.data,
    metadata: { ...metadata, namespace, uid: randomUUID() },
    status: {},
  };
  server.jobs.set(name, job);
  server.created(job);
  return jsonAnswer(201, job);
}

const DeleteOptions = z.object({
  propagationPolicy: z.enum(['Background', 'Foreground', 'Orphan']),
  preconditions: z.object({ uid: z.string() }),
});

function remove(server: KubernetesServer, job: StoredJob, content: unknown): Answer {
  const { name, uid } = job.metadata;
  const { preconditions } = DeleteOptions.parse(content);
  if (preconditions.uid !== uid)
    return status(
      409,
      'Conflict',
      `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`,
    );
  if (server.lingers > 0) job.metadata.deletionTimestamp = new Date().toISOString();
  else server.jobs.delete(name);
  return jsonAnswer(200, { kind: 'Status', apiVersion: 'v1', status: 'Success' });
}

function forbidden(verb: string, name: string, namespace: string): never {
  const what = `jobs.batch${name === '' ? '' : ` "${name}"`}`;
  const user = `system:serviceaccount:${namespace}:replication`;
  throw new AnswerError(
    status(
      403,
      'Forbidden',
      `${what} is forbidden: User "${user}" cannot ${verb} resource "jobs" in API group "batch" in the namespace "${namespace}"`,
    ),
  );
}

function status(code: number, reason: string, message: string): Answer {
  return jsonAnswer(code, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code });
}
