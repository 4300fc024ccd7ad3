import * as z from 'zod';
import { AnswerError, jsonAnswer } from './answer.ts';
import type { RegistryContext } from './registry-context.ts';
import type { Repository } from './registry-state.ts';

/** One operation of ECR's interface: what it takes, and what it does. */
export interface Operation {
  readonly input: z.ZodType;
  run(context: RegistryContext, input: unknown): unknown;
}

/** Ties the type of an operation's input to its schema. */
export function operation<T>(input: z.ZodType<T>, run: (context: RegistryContext, input: T) => unknown): Operation {
  return { input, run: (context, value) => run(context, input.parse(value)) };
}

/** An error as ECR sends it. SDKs read the type's name after `#`, and `message` or `Message`. */
export function apiError(type: string, message: string): AnswerError {
  const field = type === 'AccessDeniedException' ? 'Message' : 'message';
  return new AnswerError(
    jsonAnswer(
      400,
      { __type: type, [field]: message },
      { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-errortype': type },
    ),
  );
}

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html */
export const RepositoryName = z
  .string()
  .min(2, 'Member must have length greater than or equal to 2')
  .max(256, 'Member must have length less than or equal to 256')
  .regex(
    /^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*\/)*[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/,
    "must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'",
  );

/** Page parameters of the listing operations: 100 a page unless told, 1,000 at most. */
export const Paging = {
  nextToken: z.string().nullish(),
  maxResults: z.number().int().min(1).max(1000).nullish(),
};

export function repositoryOr404(context: RegistryContext, name: string): Repository {
  const repository = context.state.get(name);
  if (repository !== undefined) return repository;
  throw apiError(
    'RepositoryNotFoundException',
    `The repository with name '${name}' does not exist in the registry with id '${context.account.id}'`,
  );
}

/** One page of a list, with the token of the next. */
export function page<T>(
  items: readonly T[],
  paging: { readonly nextToken?: string | null | undefined; readonly maxResults?: number | null | undefined },
): { readonly items: readonly T[]; readonly nextToken?: string } {
  const given = paging.nextToken ?? undefined;
  const start =
    given === undefined ? 0 : Number(/^page-(\d+)$/.exec(Buffer.from(given, 'base64').toString())?.[1] ?? 'NaN');
  if (Number.isNaN(start)) throw apiError('InvalidParameterException', "Invalid parameter at 'nextToken'");
  const end = start + (paging.maxResults ?? 100);
  const more = end < items.length;
  return {
    items: items.slice(start, end),
    ...(more ? { nextToken: Buffer.from(`page-${end}`).toString('base64') } : {}),
  };
}
