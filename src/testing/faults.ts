import * as z from 'zod';
import { requestClasses, type RequestFacts } from './request-log.ts';

/**
 * What goes wrong with a request. All byte counts and offsets are of the body; all times in milliseconds.
 * - `status`: answered so instead of being handled; `early` answers before the request's body was read
 * - `reset`: the connection is torn down on arrival (`request`), while the request's body comes in after `bytes`
 *   (`request-body`), in the answer's body after `bytes` (`answer`), or after everything was done and before anything
 *   was answered (`after`: the client cannot know that it worked)
 * - `truncate`: the answer ends after `bytes`; `honest` announces the short length, so that only size and digest tell
 * - `extend`: `bytes` more than there are · `corrupt`: one byte is flipped · `content-length`: announced wrong by `delta`
 * - `corrupt-request`: one byte of the request's body is flipped on its way to the server, which so refuses its digest
 * - `ignore-range`: the whole is sent where a part was asked for
 * - `other-digest`: the answer's Docker-Content-Digest names something else
 * - `stall`: nothing moves for a while, before the answer or after `bytes` of its body
 * - `location`: the form of the upload's Location header
 * - `expire-tokens`: all tokens that were ever issued die before this request is looked at
 * - `drop-blob`: the blob of the request vanishes from storage before it is handled, or after it was stored
 * - `call`: anything else, in the same process
 */
const JsonAction = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('status'),
    status: z.number().int(),
    headers: z.record(z.string(), z.string()).optional(),
    body: z.string().optional(),
    early: z.boolean().optional(),
  }),
  z.strictObject({
    kind: z.literal('reset'),
    when: z.enum(['request', 'request-body', 'answer', 'after']),
    bytes: z.number().optional(),
  }),
  z.strictObject({ kind: z.literal('truncate'), bytes: z.number(), honest: z.boolean().optional() }),
  z.strictObject({ kind: z.literal('extend'), bytes: z.number() }),
  z.strictObject({ kind: z.literal('corrupt'), offset: z.number().optional() }),
  z.strictObject({ kind: z.literal('corrupt-request'), offset: z.number().optional() }),
  z.strictObject({ kind: z.literal('ignore-range') }),
  z.strictObject({ kind: z.literal('other-digest') }),
  z.strictObject({ kind: z.literal('content-length'), delta: z.number() }),
  z.strictObject({ kind: z.literal('stall'), milliseconds: z.number(), bytes: z.number().optional() }),
  z.strictObject({ kind: z.literal('location'), form: z.enum(['relative', 'absolute', 'query', 'other-host']) }),
  z.strictObject({ kind: z.literal('expire-tokens') }),
  z.strictObject({ kind: z.literal('drop-blob'), when: z.enum(['before', 'after']) }),
]);

export type FaultAction =
  z.infer<typeof JsonAction> | { readonly kind: 'call'; readonly run: () => void | Promise<void> };

const conditions = {
  class: z.enum(requestClasses).optional(),
  method: z.string().optional(),
  repository: z.string().optional(),
  /** Tag or digest in the path. */
  reference: z.string().optional(),
  /** Operation of ECR's own interface. */
  action: z.string().optional(),
  /** How many matching requests pass unharmed first. */
  skip: z.number().int().nonnegative().optional(),
  /** How many matching requests are hit then; 1 unless told. */
  times: z.union([z.number().int().positive(), z.literal('always')]).optional(),
};

/** A rule as the admin interface of a server process takes it: the path is a regular expression as text. */
export const JsonFaultRule = z.strictObject({ ...conditions, path: z.string().optional(), fault: JsonAction });

/** Which requests are hit, and how. A condition that is absent matches everything. */
export interface FaultRule {
  readonly class?: RequestFacts['class'] | undefined;
  readonly method?: string | undefined;
  readonly path?: RegExp | string | undefined;
  readonly repository?: string | undefined;
  readonly reference?: string | undefined;
  readonly action?: string | undefined;
  readonly skip?: number | undefined;
  readonly times?: number | 'always' | undefined;
  readonly fault: FaultAction;
}

/** The faults that are waiting for their requests. At most one hits a request: the first that was added and matches. */
export class FaultQueue {
  readonly #rules: { readonly rule: FaultRule; toSkip: number; left: number }[] = [];

  add(rule: FaultRule): void {
    const left = rule.times === 'always' ? Number.POSITIVE_INFINITY : (rule.times ?? 1);
    this.#rules.push({ rule, toSkip: rule.skip ?? 0, left });
  }

  clear(): void {
    this.#rules.length = 0;
  }

  /** How often rules still wait to strike; 0 means that every planned fault happened. */
  get pending(): number {
    return this.#rules.reduce((sum, { left }) => sum + (Number.isFinite(left) ? left : 0), 0);
  }

  /** The fault for this request, if any; uses it up. */
  take(method: string, path: string, facts: RequestFacts): FaultAction | undefined {
    for (const entry of this.#rules) {
      if (entry.left <= 0 || !matches(entry.rule, method, path, facts)) continue;
      if (entry.toSkip > 0) {
        entry.toSkip -= 1;
        continue;
      }
      entry.left -= 1;
      return entry.rule.fault;
    }
    return undefined;
  }
}

function matches(rule: FaultRule, method: string, path: string, facts: RequestFacts): boolean {
  return (
    (rule.class === undefined || rule.class === facts.class) &&
    (rule.method === undefined || rule.method === method) &&
    (rule.repository === undefined || rule.repository === facts.repository) &&
    (rule.reference === undefined || rule.reference === facts.reference) &&
    (rule.action === undefined || rule.action === facts.action) &&
    (rule.path === undefined || new RegExp(rule.path).test(path))
  );
}
