import { splitRender } from '../render/split.ts';
import type { BrokenDocument, FoundReference, NotAnImage } from './found.ts';
import { readManifests, type PartFindings } from './manifests.ts';
import type { UnreadData } from './unread.ts';

/** What was found in one render of a chart. */
export interface Discovery {
  /** In the order of the render. The same reference may stand in several places. */
  readonly references: readonly FoundReference[];
  /** Images that are replaced before a container starts (istio's `auto`), and texts that no runtime could pull. */
  readonly notImages: readonly NotAnImage[];
  /** Secrets, and encoded data, that seem to name images. */
  readonly unread: readonly UnreadData[];
  readonly broken: readonly BrokenDocument[];
  /** Objects in the render, and those of them that run containers. A render without any is worth a word to the user. */
  readonly objects: number;
  readonly workloads: number;
}

/** Findings by a document's text. Renders of one chart differ in a few documents only: the others are not read again. */
export type DiscoveryMemo = Map<string, PartFindings>;

/**
 * Finds the image references in a rendered chart: YAML documents as helm prints them, with `# Source:` comments. Needs no
 * registry; what is only guessed (`kind: 'text'`, `'field'`) is confirmed later (confirm.ts). Nothing about any chart is
 * known here: pod specs are recognised by their shape, wherever they stand.
 * @param memo one per chart, given to each call for it
 */
export function discover(rendered: string, memo: DiscoveryMemo = new Map()): Discovery {
  const references: FoundReference[] = [];
  const notImages: NotAnImage[] = [];
  const unread: UnreadData[] = [];
  const broken: BrokenDocument[] = [];
  const secrets = new Set<string>();
  let objects = 0;
  let workloads = 0;
  for (const { template, text, firstLine, ...mark } of splitRender(rendered)) {
    const findings = memo.get(text) ?? readManifests(text);
    memo.set(text, findings);
    const placed = <T extends { readonly place: FoundReference['place'] }>(each: T): T => ({
      ...each,
      place: { ...each.place, template, ...mark, line: each.place.line + firstLine - 1 },
    });
    references.push(...findings.references.map(placed));
    notImages.push(...findings.notImages.map(placed));
    unread.push(...findings.unread.map(placed));
    broken.push(...findings.broken.map(({ line, message }) => ({ template, line: line + firstLine - 1, message })));
    for (const secret of findings.secrets) secrets.add(secret);
    objects += findings.objects;
    workloads += findings.workloads;
  }
  const leaks = references.filter(({ text }) => holdsSecret(text, secrets));
  for (const { place } of leaks) notImages.push({ place, why: 'holds-a-secret', text: undefined });
  const rest = references.filter((each) => !leaks.includes(each));
  return { references: rest, notImages, unread, broken, objects, workloads };
}

/** A template may write a password into an image by mistake: then the text goes nowhere. */
function holdsSecret(text: string, secrets: ReadonlySet<string>): boolean {
  return secrets.size > 0 && (secrets.has(text) || text.split(/[/:@]/).some((piece) => secrets.has(piece)));
}
