import * as z from 'zod';
import { type ErrorCode, ReplicationError } from '../model/errors.ts';
import type { SecretMask } from '../model/secrets.ts';
import { printable } from './addresses.ts';
import type { Answer } from './exchange.ts';

/** OCI distribution-spec v1.1 "Error Codes". */
const ErrorBody = z.object({
  errors: z
    .array(
      z.looseObject({ code: z.string().optional(), message: z.string().nullish(), detail: z.unknown().optional() }),
    )
    .min(1),
});

/** What a registry said about a refusal: its codes, and its own words on one line. */
export interface Words {
  readonly codes: readonly string[];
  readonly text: string;
}

/** Reads an error answer's body; anything that is no registry error is quoted as it is, shortened. */
export function wordsOf(answer: Answer, mask: SecretMask): Words {
  const text = answer.bytes.toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { codes: [], text: quote(text, mask) };
  }
  const parsed = ErrorBody.safeParse(json);
  if (!parsed.success) return { codes: [], text: quote(text, mask) };
  const { errors } = parsed.data;
  return {
    codes: errors.flatMap(({ code }) => (code === undefined ? [] : [code.toUpperCase()])),
    text: quote(errors.map((error) => sentence(error)).join('; '), mask),
  };
}

function sentence(error: { code?: string | undefined; message?: string | null | undefined; detail?: unknown }): string {
  const detail = error.detail === undefined || error.detail === null ? '' : ` ${JSON.stringify(error.detail)}`;
  return `${error.code ?? ''}${error.message ? ` ${error.message}` : ''}${detail}`.trim();
}

function quote(text: string, mask: SecretMask): string {
  // Masked before tags go and before it is shortened: half a secret would pass the mask.
  const line = mask.mask(mask.mask(text).replace(/<[^>]*>/g, ' ')).replace(/[\s\p{Cc}]+/gu, ' ').trim(); // prettier-ignore
  return line.length > 1_000 ? `${line.slice(0, 1_000)}…` : line;
}

export interface AnswerContext {
  /** What was asked for: `manifest library/nginx:1.29`. */
  readonly what: string;
  /** Host as references write it. */
  readonly host: string;
  readonly reference: string;
  readonly digest?: string | undefined;
  /** The transport has repeated what can be repeated. */
  readonly repeated?: boolean | undefined;
  readonly mask: SecretMask;
}

/** The error for an answer that means failure, whatever was asked; callers that know better decide before. */
export function errorFor(answer: Answer, context: AnswerContext, as?: ErrorCode): ReplicationError {
  const words = wordsOf(answer, context.mask);
  const code = as ?? codeFor(answer.status, words);
  const elsewhere = answer.url.host === context.host ? '' : ` at ${printable(answer.url)}`;
  const said = words.text === '' ? '' : `: ${words.text}`;
  return new ReplicationError(code, `${context.host} answered ${answer.status} to ${context.what}${elsewhere}${said}`, {
    host: context.host,
    status: answer.status,
    reference: context.reference,
    digest: context.digest,
    final: context.repeated === true && (code === 'unavailable' || code === 'throttled'),
    remedy:
      permissionRemedy(words.text) ??
      quotaRemedy(words.text) ??
      sizeRemedy(answer.status) ??
      remedyFor(code, context.host),
  });
}

function codeFor(status: number, words: Words): ErrorCode {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'denied';
  if (status === 404 || words.codes.some((code) => /^(?:NAME|MANIFEST|BLOB)_UNKNOWN$/.test(code))) return 'not-found';
  if (status === 429) return 'throttled';
  if (status === 405 || status === 415 || words.codes.includes('UNSUPPORTED')) return 'unsupported';
  if (status >= 500 || status === 408) return 'unavailable';
  if (status >= 300 && status < 400) return 'refused';
  if (status < 300) return 'corrupt';
  return words.codes.includes('DENIED') ? 'denied' : words.codes.includes('UNAUTHORIZED') ? 'unauthorized' : 'corrupt';
}

/**
 * ECR passes IAM's words on: "User: arn:… is not authorized to perform: ecr:PutImage on resource: arn:… because …".
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
 */
function permissionRemedy(text: string): string | undefined {
  const [, action, resource] = /not authorized to perform: (\S+) on resource: (\S+)/.exec(text) ?? [];
  return action === undefined || resource === undefined ? undefined : `allow ${action} on ${resource}`;
}

/**
 * ECR answers 403 where a quota is reached (aws/containers-roadmap#2159): "… already has the maximum allowed number of images
 * which is '10000'", "… exceeds the maximum allowed number of tags per image …".
 */
function quotaRemedy(text: string): string | undefined {
  if (!/maximum allowed|LimitExceeded/i.test(text)) return undefined;
  return 'this is a quota, not a permission: delete images that nobody needs (a lifecycle policy does), or have it raised (Service Quotas)';
}

function sizeRemedy(status: number): string | undefined {
  if (status !== 413) return undefined;
  return 'have the limit on request bodies raised at the registry or the proxy before it (nginx: client_max_body_size 0)';
}

function remedyFor(code: ErrorCode, host: string): string | undefined {
  if (code === 'unauthorized') return `give credentials for ${host}, or check the ones given`;
  if (code === 'denied') return `check that the credentials for ${host} allow this`;
  if (code === 'not-found')
    return 'check the name, and whether it is private (some registries answer "not found" then)';
  if (code === 'throttled')
    return `wait some minutes and run again, or give credentials for ${host}: known users have higher limits`;
  if (code === 'conflict')
    return `the tag at ${host} is immutable and holds something else: delete it there, make the repository's tags mutable, or use another tag`;
  if (code === 'blob-unknown')
    return `run again: what is missing is sent anew; if it stays, ${host} loses what it has confirmed`;
  if (code === 'unavailable') return 'run again: what was copied is kept';
  if (code === 'corrupt') return `check that ${host} is a registry and no proxy answers in its place`;
  return undefined;
}
