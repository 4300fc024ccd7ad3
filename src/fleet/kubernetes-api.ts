import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import * as z from 'zod';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { retryAfterMs } from '../registry/retry-after.ts';
import { type ApiAnswer, apiError, nameTaken, temporary, unreachable } from './kubernetes-errors.ts';

/** What is read of a Job (batch/v1). https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/ */
export const JobObject = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    uid: z.string(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    ownerReferences: z.array(z.looseObject({ uid: z.string(), name: z.string() })).optional(),
    deletionTimestamp: z.string().optional(),
  }),
  spec: z.looseObject({ completions: z.number().optional() }),
  status: z
    .looseObject({
      active: z.number().optional(),
      ready: z.number().optional(),
      succeeded: z.number().optional(),
      failed: z.number().optional(),
      /** Ranges such as `1,3-5`. */
      failedIndexes: z.string().optional(),
      conditions: z
        .array(
          z.looseObject({
            type: z.string(),
            status: z.string(),
            reason: z.string().optional(),
            message: z.string().optional(),
          }),
        )
        .optional(),
    })
    .optional(),
});
export type JobObject = z.infer<typeof JobObject>;

/** The Jobs of one namespace. Temporary answers are asked for again; each method throws ReplicationError. */
export interface JobsApi {
  /** As a reader of messages knows it. */
  readonly host: string;
  readonly namespace: string;
  /** @returns `undefined` when there is a Job of this name already */
  create(name: string, job: unknown): Promise<JobObject | undefined>;
  /** @returns `undefined` when there is none */
  get(name: string): Promise<JobObject | undefined>;
  /** Deletes just this Job, with its pods; none is no error, nor is another one of the same name. */
  remove(name: string, uid: string): Promise<void>;
  close(): Promise<void>;
}

export interface ClusterSettings {
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, which every pod has. */
  readonly host: string;
  readonly port: string;
  /** Folder with `token`, `ca.crt` and `namespace`, as Kubernetes mounts it. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Told each token before it is used. */
  readonly secret?: (token: string) => void;
  /** Milliseconds before the first repetition; doubled each time. */
  readonly pauseMs?: number;
}

/** Where Kubernetes puts a pod's token: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
export const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** How often a request is made while its answers are temporary: about a minute with the default pause. */
const tries = 7;
const timeouts = { headersTimeout: 30_000, bodyTimeout: 30_000 } as const;

/**
 * Opens the API of the cluster that this pod runs in, as its service account: its certificate authority alone is trusted,
 * and no proxy is used, as the address lies inside of the cluster.
 * @throws ReplicationError `configuration` when the mounted files are not there
 */
export async function openJobsApi(settings: ClusterSettings): Promise<JobsApi> {
  const { folder, signal, pauseMs = 1_000 } = settings;
  const [authority, namespace] = await Promise.all([mounted(folder, 'ca.crt'), mounted(folder, 'namespace')]);
  const host = `${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${settings.port}`;
  let trust = { authority, agent: trusting(authority) };
  const base = `https://${host}/apis/batch/v1/namespaces/${encodeURIComponent(namespace)}/jobs`;

  const ask = async (method: 'GET' | 'POST' | 'DELETE', url: string, body?: unknown): Promise<ApiAnswer> => {
    // Kubernetes puts a new token there before the old one ends, and a new authority when it has changed.
    const [token, now] = await Promise.all([mounted(folder, 'token'), mounted(folder, 'ca.crt')]);
    settings.secret?.(token);
    if (now !== trust.authority) {
      await trust.agent.close();
      trust = { authority: now, agent: trusting(now) };
    }
    try {
      const answer = await request(url, {
        method,
        headers: {
          accept: 'application/json',
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        dispatcher: trust.agent,
        signal,
        ...timeouts,
      });
      const asks = retryAfterMs(answer.headers['retry-after'], Date.now());
      return { method, host, namespace, status: answer.statusCode, text: await answer.body.text(), pauseMs: asks };
    } catch (cause) {
      signal.throwIfAborted();
      throw unreachable(host, cause);
    }
  };

  const asked = async (...call: Parameters<typeof ask>): Promise<ApiAnswer> => {
    for (let made = 1; ; made += 1) {
      let asks = 0;
      try {
        const answer = await ask(...call);
        const contended = answer.method === 'POST' && answer.status === 409 && !nameTaken(answer);
        if (!(temporary(answer.status) || contended) || made >= tries) return answer;
        asks = answer.pauseMs ?? 0;
      } catch (error) {
        if (!isReplicationError(error, 'unreachable') || error.final || made >= tries) throw error;
      }
      await sleep(Math.max(asks, pauseMs * 2 ** (made - 1)), undefined, { signal });
    }
  };

  return {
    host,
    namespace,
    async create(name, job) {
      const answer = await asked('POST', base, job);
      if (nameTaken(answer)) return undefined;
      return jobIn(answer, 'create', name);
    },
    async get(name) {
      const answer = await asked('GET', `${base}/${encodeURIComponent(name)}`);
      return answer.status === 404 ? undefined : jobIn(answer, 'get', name);
    },
    async remove(name, uid) {
      const options = {
        kind: 'DeleteOptions',
        apiVersion: 'v1',
        propagationPolicy: 'Background',
        preconditions: { uid },
      };
      const answer = await asked('DELETE', `${base}/${encodeURIComponent(name)}`, options);
      // 409: the precondition does not hold, another Job has that name by now.
      if (answer.status >= 300 && answer.status !== 404 && answer.status !== 409)
        throw apiError(answer, 'delete', name);
    },
    close: () => trust.agent.destroy(),
  };
}

function trusting(ca: string): Agent {
  return new Agent({ connect: { ca, timeout: 10_000 }, connections: 1, maxResponseSize: 16 * 2 ** 20 });
}

async function mounted(folder: string, name: string): Promise<string> {
  try {
    return (await readFile(`${folder}/${name}`, 'utf8')).trim();
  } catch (cause) {
    throw new ReplicationError('configuration', `there is no ${name} of a service account in ${folder}`, {
      remedy: 'run this in a pod that has its service account token mounted, as the chart in deploy/chart does',
      cause,
    });
  }
}

function jobIn(answer: ApiAnswer, verb: string, name: string): JobObject {
  if (answer.status >= 300) throw apiError(answer, verb, name);
  try {
    return JobObject.parse(JSON.parse(answer.text));
  } catch (cause) {
    throw new ReplicationError('corrupt', `the Kubernetes API at ${answer.host} answered something that is no Job`, {
      host: answer.host,
      status: answer.status,
      cause,
    });
  }
}
