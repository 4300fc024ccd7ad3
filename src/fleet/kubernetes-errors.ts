import * as z from 'zod';
import { type ErrorCode, ReplicationError } from '../model/errors.ts';

/** What the API server said. */
export interface ApiAnswer {
  readonly method: string;
  readonly host: string;
  readonly namespace: string;
  readonly status: number;
  readonly text: string;
  /** Milliseconds that Retry-After asks for, as priority and fairness does. */
  readonly pauseMs?: number | undefined;
}

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
const Status = z.looseObject({ message: z.string().optional(), reason: z.string().optional() });

/** Whether the same request may be answered otherwise soon (an API server that is being replaced, priority and fairness). */
export function temporary(status: number): boolean {
  return status === 429 || status >= 500;
}

/**
 * Whether a creation was refused as the name is taken. A 409 of another reason is about something else, such as a
 * ResourceQuota that was counted anew at the same moment, and is worth another try.
 */
export function nameTaken({ status, text }: ApiAnswer): boolean {
  return status === 409 && saidBy(text)?.reason !== 'Conflict';
}

/** What an answer that is no success means to whoever installed the chart. */
export function apiError(answer: ApiAnswer, verb: string, name: string): ReplicationError {
  const { host, status, namespace } = answer;
  const told = messageOf(answer.text);
  const what = `the Kubernetes API at ${host} answered ${status} to ${verb} Job ${name} in namespace ${namespace}: ${told}`;
  const [code, remedy] = meaning(status, told, verb, name, namespace);
  return new ReplicationError(code, what, { host, status, reference: name, remedy, final: !temporary(status) });
}

function meaning(
  status: number,
  told: string,
  verb: string,
  name: string,
  namespace: string,
): readonly [ErrorCode, string | undefined] {
  if (status === 401)
    return ['unauthorized', "the pod's token has ended or is for another cluster: let the chart's pod be made anew"];
  if (status === 403 && /exceeded quota/.test(told))
    return ['denied', `the namespace's ResourceQuota leaves no room: raise it, or remove Jobs from ${namespace}`];
  if (status === 403 && /because it is being terminated/.test(told))
    return ['denied', `the namespace ${namespace} is being deleted: install the chart into another one`];
  // The words of https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/responsewriters/errors.go
  if (status === 403 && !/cannot \w+ resource/.test(told))
    return ['denied', "an admission rule of the cluster refuses it: change the chart's values, or the rule"];
  if (status === 403)
    return [
      'denied',
      `the service account lacks the Role that allows ${verb} on jobs (API group batch): install the chart with rbac.create=true, ` +
        `which makes the Role and RoleBinding ${name} in namespace ${namespace}, or bind one of your own`,
    ];
  if (status === 404) return ['not-found', `the namespace ${namespace} has to be there`];
  if (status === 429) return ['throttled', undefined];
  if (status >= 500) return ['unavailable', undefined];
  if (status === 409) return ['conflict', undefined];
  return [
    'configuration',
    "the Job's template comes from the chart: check its values, and that the cluster is 1.29 or newer",
  ];
}

function messageOf(text: string): string {
  const said = saidBy(text);
  if (said === undefined) return text.slice(0, 300).replace(/\s+/g, ' ').trim() || 'no reason given';
  return said.message ?? said.reason ?? 'no reason given';
}

function saidBy(text: string): z.infer<typeof Status> | undefined {
  try {
    return Status.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Node's and OpenSSL's names for a certificate that does not prove what it has to. */
const untrusted = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/;

/** No answer at all. A certificate that cannot be trusted is not asked again. */
export function unreachable(host: string, cause: unknown): ReplicationError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const tls = untrusted.test(code);
  return new ReplicationError('unreachable', `the Kubernetes API at ${host} cannot be reached: ${reason}`, {
    host,
    final: tls,
    remedy: tls
      ? "its certificate is not from the cluster's own authority (ca.crt of the service account)"
      : 'allow egress to the API server (networkPolicy.apiServerPorts of the chart)',
    cause,
  });
}
