import type { Digest } from '../../model/digest.ts';
import { ReplicationError, ReplicationErrors } from '../../model/errors.ts';
import { parseReference } from '../../model/reference.ts';

/** What a list of images asks for: one image by tag or digest, or every tag of a repository. */
export type SelectedImage =
  | {
      readonly kind: 'image';
      readonly written: string;
      /** Repository, with its registry where one is written. */
      readonly name: string;
      /** What it is called at the target: the tag, or the digest where there is none. */
      readonly label: string;
      readonly digest: Digest | undefined;
    }
  | { readonly kind: 'all-tags'; readonly written: string; readonly name: string };

/** Written in place of a tag: every tag of the repository. */
const allTags = 'ALL_TAGS';

/**
 * Parses the comma list of images `repository[:tag|:ALL_TAGS][@digest]`; without tag `latest` is meant. White space and
 * line breaks (also as the two characters `\n`, which consoles make of them) mean nothing. Each image is taken once.
 * @param from where the list comes from, for messages
 * @param hosts whether names may begin with a registry (public and private sources), or are repositories of one registry
 * @throws ReplicationErrors `configuration` with every wrong entry
 */
export function parseSelection(text: string, from: string, hosts: 'allowed' | 'none'): readonly SelectedImage[] {
  const entries = text
    .replace(/\\n|\s/g, '')
    .split(',')
    .filter((entry) => entry !== '');
  const problems: ReplicationError[] = [];
  const images = new Map<string, SelectedImage>();
  for (const entry of entries) {
    try {
      const image = parseEntry(entry, hosts);
      const key = image.kind === 'image' ? `${image.name} ${image.label}` : image.name;
      const other = images.get(key);
      if (other?.kind === 'image' && image.kind === 'image' && other.digest !== image.digest)
        throw new ReplicationError('configuration', `"${entry}" and "${other.written}" would get one name`, {
          reference: entry,
          remedy: 'take one of the two out of the list',
        });
      images.set(key, image);
    } catch (error) {
      if (!(error instanceof ReplicationError)) throw error;
      problems.push(new ReplicationError(error.code, `${from}: ${error.message}`, error));
    }
  }
  if (problems.length > 0) throw new ReplicationErrors(problems);
  if (images.size === 0)
    throw new ReplicationError('configuration', `${from} names no image`, {
      remedy: 'write repository:tag,repository:tag,… (without tag: latest; every tag: repository:ALL_TAGS)',
    });
  return [...images.values()];
}

function parseEntry(written: string, hosts: 'allowed' | 'none'): SelectedImage {
  const { registry, repository, tag, digest } = parseReference(written);
  if (registry !== undefined && hosts === 'none')
    throw new ReplicationError('configuration', `"${written}" names the registry ${registry}`, {
      reference: written,
      remedy: 'write the repository only: the registry follows from --src-region and --src-account',
    });
  const name = registry === undefined ? repository : `${registry}/${repository}`;
  if (tag === allTags && digest === undefined) return { kind: 'all-tags', written, name };
  return { kind: 'image', written, name, label: tag ?? digest ?? 'latest', digest };
}
