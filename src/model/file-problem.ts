/**
 * Why a file that somebody named could not be read or written, in words. The text of Node's own errors repeats the call and the
 * path ("ENOENT: no such file or directory, open '…'"), which the message around it names already.
 * @param cause what a function of node:fs threw; anything else is told in its own words
 * @see https://nodejs.org/docs/latest-v20.x/api/errors.html#common-system-errors
 */
export function fileProblem(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return problems[code] ?? (cause instanceof Error ? cause.message : String(cause));
}

const problems: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of the path is a file',
  EISDIR: 'it is a folder',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'the path is too long',
};
