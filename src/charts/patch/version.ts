import { createHash } from 'node:crypto';
import { labelLinesWith } from '../overrides/sameness.ts';
import type { ProfileRendering } from './port.ts';

/** First 8 hex digits of the patch's sha256. */
export function patchId(patch: string): string {
  return createHash('sha256').update(patch).digest('hex').slice(0, 8);
}

/** `1.2.3+isolated.0a1b2c3d`; build metadata that is there already is kept in front (https://semver.org/#spec-item-10). */
export function isolatedVersion(version: string, id: string): string {
  return `${version}${version.includes('+') ? '.' : '+'}isolated.${id}`;
}

/** The renders without what the version brought, so that they can be compared with those of the old version. */
export function withoutVersion(
  renders: readonly ProfileRendering[],
  version: string,
  id: string,
): readonly ProfileRendering[] {
  // Charts write the version with `+` replaced, which no label may hold, and cut at 63 characters.
  const whole = new RegExp(String.raw`[+_.-]isolated[._-]${id}`, 'g');
  const cut = new RegExp(
    String.raw`(${escaped(version)})[+_-](?:i|is|iso|isol|isola|isolat|isolate|isolated[._-]?[0-9a-f]{0,7})?(?=["']?$)`,
    'gm',
  );
  return renders.map(({ profile, rendering }) => ({
    profile,
    rendering:
      rendering.kind === 'rendered'
        ? { ...rendering, text: rendering.text.replaceAll(whole, '').replaceAll(cut, '$1') }
        : rendering,
  }));
}

/** The text as a part of a regular expression. */
export function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

const labelValue = /^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;

/**
 * A label that the new version spoils: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
 */
export function spoiledLabel(renders: readonly ProfileRendering[], version: string): string | undefined {
  for (const { rendering } of renders) {
    if (rendering.kind !== 'rendered') continue;
    for (const line of labelLinesWith(rendering.text, version)) {
      const value = line.slice(line.indexOf(': ') + 2).replace(/^["']|["']$/g, '');
      if (!labelValue.test(value)) return line;
    }
  }
  return undefined;
}
