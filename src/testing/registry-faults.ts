import { digestOf, parseDigest } from '../model/digest.ts';
import type { Answer } from './answer.ts';
import type { FaultAction } from './faults.ts';
import type { Exchange, HttpHost } from './http-host.ts';
import type { RegistryContext } from './registry-context.ts';

/** Faults that strike before a request is handled. */
export async function inflictBefore(context: RegistryContext, fault: FaultAction, exchange: Exchange): Promise<void> {
  const facts = exchange.entry;
  if (fault.kind === 'ignore-range') delete exchange.headers.range;
  if (fault.kind === 'expire-tokens') context.auth.expireTokens();
  if (fault.kind === 'drop-blob' && fault.when === 'before') dropBlob(context, facts.repository, facts.reference);
}

/** Faults that change what a request left behind, or where its answer leads. */
export async function inflictAfter(
  context: RegistryContext,
  storage: HttpHost,
  main: HttpHost,
  fault: FaultAction,
  exchange: Exchange,
  answer: Answer,
): Promise<Answer> {
  if (fault.kind === 'drop-blob' && fault.when === 'after') {
    dropBlob(context, exchange.entry.repository, exchange.url.searchParams.get('digest') ?? exchange.entry.reference);
  }
  if (fault.kind === 'other-digest') {
    return { ...answer, headers: { ...answer.headers, 'docker-content-digest': digestOf('something else') } };
  }
  const location = answer.headers?.['location'];
  if (fault.kind !== 'location' || typeof location !== 'string') return answer;
  return { ...answer, headers: { ...answer.headers, location: bentLocation(fault.form, location, storage, main) } };
}

function bentLocation(
  form: Extract<FaultAction, { kind: 'location' }>['form'],
  location: string,
  storage: HttpHost,
  main: HttpHost,
): string {
  const { pathname, search } = new URL(location, main.url);
  switch (form) {
    case 'relative':
      return pathname + search;
    case 'absolute':
      return `${main.url}${pathname}${search}`;
    case 'query':
      return `${pathname}?_state=a%2Bb%3D&x=1`;
    case 'other-host':
      return `${storage.url}${pathname}${search}`;
  }
}

function dropBlob(context: RegistryContext, name: string | undefined, digest: string | undefined): void {
  const repository = name === undefined ? undefined : context.state.get(name);
  if (repository === undefined || digest === undefined) return;
  repository.blobs.delete(parseDigest(digest));
  context.state.save(repository);
}
