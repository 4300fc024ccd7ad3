import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { isReplicationError, ReplicationError, ReplicationErrors } from '../../model/errors.ts';
import { fileProblem } from '../../model/file-problem.ts';
import { parseYamlFile, validate } from '../eks/yaml-file.ts';
import { checkSource } from './extra-images.ts';
import { type ImageFrom, isHelmKey, type ListedImage, parseDestination } from './listed-image.ts';

/** One entry of a static list, with the names that the lists of sync_to_aws_ecr.sh have. */
const StaticImage = z.strictObject({
  /** Image reference; without tag and digest the most recent tag is taken. */
  repository_image: z.string().superRefine(valid(checkSource)),
  /** Repository at the target; `{prefix}` is the destination prefix. Absent: the last segment of the image, under the prefix. */
  destination: z
    .string()
    .superRefine(valid((text) => parseDestination(text.replaceAll('{prefix}', 'prefix'))))
    .optional(),
  /** Path in the values of the image map or string. */
  helm_key: z.string().refine(isHelmKey, 'is no path in the values, such as runner.runEnvironment').optional(),
  tag: z
    .string()
    .regex(/^[\w][\w.-]{0,127}$/, 'is no tag')
    .optional(),
});
const StaticList = z.array(StaticImage);

function valid(check: (text: string) => unknown): (text: string, context: z.core.$RefinementCtx<string>) => void {
  return (text, context) => {
    try {
      check(text);
    } catch (error) {
      if (!isReplicationError(error)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
    }
  };
}

/** Reads a static list: a JSON (or YAML) list of `{repository_image, destination, helm_key, tag}`. @throws ReplicationErrors `configuration`, each with file and line */
export async function readStaticList(path: string, from: ImageFrom, prefix: string): Promise<readonly ListedImage[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ReplicationError('usage', `cannot read the list ${path}: ${fileProblem(cause)}`, {
      remedy: 'name a readable file',
      reference: path,
      cause,
    });
  }
  return parseStaticList(text, path, from, prefix);
}

export function parseStaticList(text: string, path: string, from: ImageFrom, prefix: string): readonly ListedImage[] {
  if (path.endsWith('.json')) refuseBrokenJson(text, path);
  const file = parseYamlFile(path, text);
  const result = validate(file, StaticList, () => Object.keys(StaticImage.shape));
  if ('problems' in result) throw new ReplicationErrors(result.problems.map(aboutList));
  return result.data.map(({ repository_image: image, destination, helm_key: helmKey, tag }, index): ListedImage => {
    const to = destination === undefined ? undefined : parseDestination(under(prefix, destination));
    return {
      source: tag === undefined ? image : `${image}:${tag}`,
      destination: to?.repository,
      destinationTag: to?.tag,
      helmKey,
      helmKeyIs: 'usual',
      untagged: 'newest',
      from,
      origin: { path: `${path}:${file.lineOf([index])}`, file: path, line: file.lineOf([index]) },
    };
  });
}

/** `{prefix}` filled in; without a prefix nothing stands before the name, no slash either. */
function under(prefix: string, destination: string): string {
  return prefix === '' ? destination.replaceAll(/\{prefix\}\/?/g, '') : destination.replaceAll('{prefix}', prefix);
}

function aboutList(problem: ReplicationError): ReplicationError {
  return new ReplicationError('configuration', problem.message, {
    reference: problem.reference,
    remedy:
      'correct the list: each entry is {"repository_image", "destination", "helm_key", "tag"}, the last three optional',
  });
}

/** The YAML parser would take it for what it is not: JSON is told in JSON's words. */
function refuseBrokenJson(text: string, path: string): void {
  try {
    JSON.parse(text);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    const position = Number(/position (\d+)/.exec(said)?.[1] ?? Number.NaN);
    const at = Number.isNaN(position) ? text.length : position;
    const line = text.slice(0, at).split('\n').length;
    throw new ReplicationError('configuration', `${path}:${line}: is no valid JSON: ${said}`, {
      reference: path,
      remedy: 'correct the file; JSON has no comments and no comma behind the last entry',
      cause,
    });
  }
}
