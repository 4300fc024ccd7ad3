import type * as z from 'zod';
import { ReplicationErrors } from '../../model/errors.ts';
import { DefaultFile, type DefaultFileText, knownKeys, VersionFile, type VersionFileText } from './schema.ts';
import { parseYamlFile, validate, type YamlFile } from './yaml-file.ts';

/** A file with what it is called, where it was found, and whether it is the user's or came with the module. */
export interface FoundFile {
  readonly name: string;
  readonly path: string;
  readonly from: 'user' | 'shipped';
  readonly text: string;
}

/** A file whose content has the form that its kind has to have; the text is kept to name lines of it. */
export interface CheckedFile<T> {
  readonly found: FoundFile;
  readonly yaml: YamlFile;
  readonly data: T;
}

/** @throws ReplicationErrors `configuration` with everything that `default.yaml` may not say */
export function checkDefaultFile(found: FoundFile): CheckedFile<DefaultFileText> {
  return checkFile(found, DefaultFile, 'default');
}

/** @throws ReplicationErrors `configuration` with everything that `<eks-version>.yaml` may not say */
export function checkVersionFile(found: FoundFile): CheckedFile<VersionFileText> {
  return checkFile(found, VersionFile, 'version');
}

function checkFile<T>(found: FoundFile, schema: z.ZodType<T>, kind: 'default' | 'version'): CheckedFile<T> {
  const yaml = parseYamlFile(found.path, found.text);
  const checked = validate(yaml, schema, (path) => knownKeys(path, kind));
  if ('problems' in checked) throw new ReplicationErrors(checked.problems);
  return { found, yaml, data: checked.data };
}
