import { digestOf } from '../../model/digest.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { readChart } from '../chart.ts';
import { type ChartTree, openChart, packChart, textsOf } from './chart-tree.ts';
import { diffOf } from './diff.ts';
import { applyEdits, type Edit, waysToMove } from './literals.ts';
import { packPatched } from './package-patched.ts';
import type { Move, NotPatched, Patched, PatchRequest, ProfileRendering, Unpatched } from './port.ts';
import { type Before, type PatchProof, provePatch } from './prove-patch.ts';
import { patchId, spoiledLabel, withoutVersion } from './version.ts';

const defaultMaxRenders = 40;

/** A patch on its way: the chart's contents, its renders, and the renders that may still be spent. */
interface Work {
  readonly request: PatchRequest;
  readonly tree: ChartTree;
  readonly texts: ReadonlyMap<string, string>;
  readonly before: Before;
  readonly purse: { readonly render: (archive: Uint8Array) => Promise<readonly ProfileRendering[]>; spent(): number };
}

interface Choice {
  readonly move: Move;
  readonly edit: Edit;
}

/**
 * Replaces references in a chart's own files, where they (or their beginnings) literally stand, packs it under the version
 * `<version>+isolated.<id>`, and proves by rendering it that exactly these references moved. A change that moves anything else
 * is not made; what is put together by template code has no text to change and is `left`.
 * @throws ReplicationError `refused`, `corrupt` for a bad archive; whatever `render` throws
 */
export async function patchChart(request: PatchRequest): Promise<Patched | NotPatched> {
  const work = await start(request);
  const broken = work.before.first.find(({ rendering }) => rendering.kind === 'refused')?.rendering;
  if (broken?.kind === 'refused') return notPatched(work, `the chart does not render: ${broken.why}`);
  const { choices, left } = await choose(work);
  if (choices.length === 0) return { kind: 'not-patched', left, renders: work.purse.spent() };
  try {
    return await finish(work, choices, left);
  } catch (error) {
    if (!isReplicationError(error, 'unsupported')) throw error;
    return notPatched(work, error.message);
  }
}

async function start(request: PatchRequest): Promise<Work> {
  const { archive, signal } = request;
  let left = request.maxRenders ?? defaultMaxRenders;
  const all = left;
  const render = (each: Uint8Array): Promise<readonly ProfileRendering[]> => {
    left -= 1;
    return request.render(each, signal);
  };
  const tree = await openChart(archive);
  const first = await render(archive);
  let second: Promise<readonly ProfileRendering[]> | undefined;
  return {
    request,
    tree,
    texts: textsOf(tree),
    before: { first, again: () => (second ??= render(archive)) },
    purse: { render, spent: () => all - left },
  };
}

function notPatched({ request, purse }: Work, why: string): NotPatched {
  return { kind: 'not-patched', left: request.references.map(({ text }) => ({ text, why })), renders: purse.spent() };
}

/** The first way of each reference all at once, as a rule; one by one where that moves anything else. */
async function choose(work: Work): Promise<{ choices: readonly Choice[]; left: readonly Unpatched[] }> {
  const left: Unpatched[] = [];
  const ways = new Map<Move, readonly Edit[]>();
  for (const move of [...work.request.references].sort((a, b) => (a.text < b.text ? -1 : 1))) {
    const places = placesOf(work, move.text);
    const found = waysToMove(move, places, work.texts);
    if (places.length === 0) left.push({ text: move.text, why: 'no render of the chart shows it' });
    else if (found.length === 0)
      left.push({ text: move.text, why: 'the chart computes it: its text stands in no file' });
    else ways.set(move, found);
  }
  const first = [...ways].flatMap(([move, [edit]]) => (edit === undefined ? [] : [{ move, edit }]));
  if (first.length === 0 || (await proofOf(work, first)).problem === undefined) return { choices: first, left };
  const choices: Choice[] = [];
  for (const [move, edits] of ways) {
    const found = await wayThatWorks(work, move, edits, choices);
    if (typeof found === 'string') left.push({ text: move.text, why: found });
    else choices.push(found);
  }
  return { choices, left };
}

function placesOf({ before }: Work, text: string): Parameters<typeof waysToMove>[1] {
  return before.first.flatMap(({ rendering }) =>
    rendering.kind === 'rendered'
      ? rendering.references.filter((found) => found.text === text).map(({ place }) => place)
      : [],
  );
}

/** A choice that works beside those made before, or why none does. */
async function wayThatWorks(
  work: Work,
  move: Move,
  edits: readonly Edit[],
  made: readonly Choice[],
): Promise<Choice | string> {
  let why = '';
  for (const edit of edits) {
    if (work.purse.spent() >= (work.request.maxRenders ?? defaultMaxRenders) - 2)
      return why === '' ? 'the renders that were allowed are spent' : why;
    work.request.signal.throwIfAborted();
    const { problem } = await proofOf(work, [...made, { move, edit }]);
    if (problem === undefined) return { move, edit };
    why ||= `changing "${edit.find}" in ${edit.files.join(', ')} does not do: ${problem}`;
  }
  return why;
}

async function proofOf({ tree, texts, before, purse }: Work, choices: readonly Choice[]): Promise<PatchProof> {
  const changes = changesOf(choices, texts);
  const moves = choices.map(({ move }) => move);
  return provePatch(before, await purse.render(packChart(tree, changes)), moves);
}

function changesOf(choices: readonly Choice[], texts: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return applyEdits(
    choices.map(({ edit }) => edit),
    texts,
  );
}

/** Gives the patched chart its version and annotations, and proves it once more as it will be used. */
async function finish(work: Work, choices: readonly Choice[], left: readonly Unpatched[]): Promise<Patched> {
  const { request, tree, texts, purse } = work;
  const chart = await readChart(request.archive);
  const originalDigest = digestOf(request.archive);
  const changes = changesOf(choices, texts);
  const patch = `# ${chart.name} ${chart.version}, archive ${originalDigest}\n${diffOf(texts, changes)}`;
  const original = { version: chart.version, digest: originalDigest };
  const { version, archive } = packPatched({ tree, texts, changes, patch, original });
  const renders = await purse.render(archive);
  const moves = choices.map(({ move }) => move);
  const proof = await provePatch(work.before, withoutVersion(renders, chart.version, patchId(patch)), moves);
  const label = spoiledLabel(renders, chart.version);
  const problem =
    proof.problem ?? (label === undefined ? undefined : `Kubernetes takes no such label: ${label.slice(0, 200)}`);
  if (problem !== undefined)
    throw new ReplicationError('unsupported', `the chart does not bear the version ${version}: ${problem}`);
  return {
    kind: 'patched',
    archive,
    digest: digestOf(archive),
    originalDigest,
    version,
    patch,
    moved: choices.map(({ move, edit }) => ({ ...move, files: edit.files })),
    left,
    derived: proof.derived,
    notices: noticesOf(request, chart.name, chart.version),
    renders: purse.spent(),
  };
}

function noticesOf(request: PatchRequest, name: string, version: string): readonly string[] {
  if (request.provenance !== true) return [];
  return [
    `the provenance file of ${name} ${version} is dropped: it signs the original archive, not the patched one (helm verify fails without it)`,
  ];
}
