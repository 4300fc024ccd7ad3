import { digestOf } from '../../model/digest.ts';
import { ReplicationError } from '../../model/errors.ts';
import { readChart } from '../chart.ts';
import { openChart, textsOf } from './chart-tree.ts';
import { changedTexts } from './diff.ts';
import { packPatched } from './package-patched.ts';
import type { Patched } from './port.ts';

/**
 * Patches a chart as it was patched before, without rendering it: a lock keeps the patch of a chart that was proven with it.
 * The same archive and patch give the bytes that `patchChart` gave.
 * @param patch the unified diff, with the original's digest on top
 * @throws ReplicationError `corrupt` when the patch is not one of this archive, and as `patchChart`
 */
export async function repeatPatch(
  archive: Uint8Array,
  patch: string,
): Promise<Pick<Patched, 'archive' | 'digest' | 'version'>> {
  const tree = await openChart(archive);
  const { name, version } = await readChart(archive);
  const texts = textsOf(tree);
  const changes = changedTexts(texts, patch);
  if (changes === undefined)
    throw new ReplicationError('corrupt', `the patch is not one of the chart ${name} ${version}`, {
      reference: `${name} ${version}`,
      remedy: 'run without --lock to patch the chart anew',
    });
  const packed = packPatched({ tree, texts, changes, patch, original: { version, digest: digestOf(archive) } });
  return { ...packed, digest: digestOf(packed.archive) };
}
