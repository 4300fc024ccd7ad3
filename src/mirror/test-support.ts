import type { MirrorSection } from '../sources/mirror/mirror-file.ts';

/** A section that mirrors one tag of one repository. */
export function section(name: string, changes: Partial<MirrorSection> = {}): MirrorSection {
  return {
    name,
    line: 1,
    source: { registry: 'quay.io', repository: name },
    tags: { kind: 'listed', tags: ['1'] },
    target: `mirror/${name}`,
    platforms: 'all',
    refreshSeconds: 3_600,
    ...changes,
  };
}
