import { AnswerError, jsonAnswer } from './answer.ts';

/** An error in the form of OCI distribution-spec v1.1 "Error Codes". */
export function ociError(status: number, code: string, message: string, detail?: unknown): AnswerError {
  const error = detail === undefined ? { code, message } : { code, message, detail };
  return new AnswerError(
    jsonAnswer(status, { errors: [error] }, { 'docker-distribution-api-version': 'registry/2.0' }),
  );
}

/** What Go's router says about a path that nobody serves. */
export function notFoundPage(): AnswerError {
  return new AnswerError({ status: 404, headers: { 'content-type': 'text/plain' }, body: '404 page not found\n' });
}
