import type { BrokenDocument, FoundReference, NotAnImage, ObjectIdentity } from './found.ts';
import { maySayImage } from './grammar.ts';
import { maybeEncoded, type UnreadData, unreadData } from './unread.ts';
import { collectImages } from './walk.ts';
import { at, parseTrees, textAt, type Tree } from './yaml-tree.ts';

/** What one part of a render holds; places have lines of the part and no template yet. */
export interface PartFindings {
  readonly references: readonly FoundReference[];
  readonly notImages: readonly NotAnImage[];
  readonly unread: readonly UnreadData[];
  readonly broken: readonly Omit<BrokenDocument, 'template'>[];
  /** Values of Secrets in it: never shown, only compared with. */
  readonly secrets: readonly string[];
  readonly objects: number;
  readonly workloads: number;
}

/** A default of a definition's field: the only place in a definition where an image is more than an example. */
const definitionDefault = /\bdefault["']?:\s*["']?[a-z0-9][\w.-]*(?::\d+)?\/[^\s"']+/;

/** Reads the documents of one part of a render. */
export function readManifests(text: string): PartFindings {
  const kind = /^kind:\s*["']?(\w+)/m.exec(text)?.[1];
  const definition = kind === 'CustomResourceDefinition';
  const skip = definition
    ? !definitionDefault.test(text)
    : !maySayImage(text) && !/\bkind["']?:\s*["']?Secret\b/.test(text) && !maybeEncoded(text);
  if (skip) return { references: [], notImages: [], unread: [], broken: [], secrets: [], objects: 1, workloads: 0 };
  const references: FoundReference[] = [];
  const notImages: NotAnImage[] = [];
  const unread: UnreadData[] = [];
  const broken: Omit<BrokenDocument, 'template'>[] = [];
  const secrets: string[] = [];
  let objects = 0;
  let workloads = 0;
  for (const { tree, problem } of parseTrees(text)) {
    if (problem !== undefined) broken.push(problem);
    for (const object of tree === undefined ? [] : objectsOf(tree, 0)) {
      objects += 1;
      secrets.push(...secretValues(object));
      const identity = identityOf(object);
      unread.push(...unreadData(object, identity));
      const found = collectImages(object, identity);
      references.push(...found.references);
      notImages.push(...found.notImages);
      if (found.runsContainers) workloads += 1;
    }
  }
  return { references, notImages, unread, broken, secrets, objects, workloads };
}

/** Objects of a document: `kind: List` (and `ConfigMapList`, …) stands for its items, as kubectl takes it. */
function objectsOf(tree: Tree, depth: number): readonly Tree[] {
  if (tree.kind === 'list') return tree.items.filter((item) => item.kind === 'map');
  if (tree.kind !== 'map') return [];
  const items = at(tree, 'items');
  const isList = /List$/.test(textAt(tree, 'kind') ?? '') && items?.kind === 'list';
  if (isList && depth < 5) return items.items.flatMap((item) => objectsOf(item, depth + 1));
  return [tree];
}

function identityOf(object: Tree): ObjectIdentity {
  const metadata = at(object, 'metadata');
  return {
    apiVersion: textAt(object, 'apiVersion') ?? '',
    kind: textAt(object, 'kind') ?? '',
    name: textAt(metadata, 'name') ?? textAt(metadata, 'generateName') ?? '',
    namespace: textAt(metadata, 'namespace'),
  };
}

/** Shorter ones (`admin`, `8080`) are words that stand in other places, too. */
const shortestSecret = 8;

function secretValues(object: Tree): readonly string[] {
  if (textAt(object, 'kind') !== 'Secret') return [];
  const plain = values(at(object, 'stringData'));
  const encoded = values(at(object, 'data')).map((value) => Buffer.from(value, 'base64').toString('utf8'));
  return [...plain, ...encoded].map((value) => value.trim()).filter((value) => value.length >= shortestSecret);
}

function values(tree: Tree | undefined): readonly string[] {
  if (tree?.kind !== 'map') return [];
  return tree.entries.flatMap(([, value]) => (value.kind === 'scalar' ? (value.text ?? []) : []));
}
