import { isReplicationError } from '../../model/errors.ts';
import { parseReference } from '../../model/reference.ts';
import { type ConditionalImage, conditionalImages } from '../discovery/conditional.ts';
import { confirm } from '../discovery/confirm.ts';
import { discover } from '../discovery/discover.ts';
import type { FoundReference } from '../discovery/found.ts';
import { switchOn } from '../discovery/switched-on.ts';
import { formatPath, merge } from '../values/tree.ts';
import { conditionalProfile, type IsolationRequest } from './port.ts';
import { type Rejected, rejectedOf } from './rejected.ts';
import type { ChartRenders } from './renders.ts';
import type { Use } from './uses.ts';

/** What a condition hides, and the use of the chart that shows it. */
export interface Conditionals {
  readonly images: readonly ConditionalImage[];
  /** References in `crds/`, which helm installs as they are. Those that a registry confirms, or that lead to an allowed host. */
  readonly inCrds: readonly FoundReference[];
  /** Other texts there that look like references. */
  readonly rejected: readonly Rejected[];
  /** Set when they are to be copied, and a render shows some. */
  readonly use: Use | undefined;
  readonly warnings: readonly string[];
}

/** @param originals what the chart writes, by the name that the declared overrides make of it */
export async function conditionals(
  request: IsolationRequest,
  uses: readonly Use[],
  originals: ReadonlyMap<string, string>,
  renders: ChartRenders,
): Promise<Conditionals> {
  const shown = uses.flatMap(({ look }) =>
    look.references.map((found) => ({ ...found, text: originals.get(found.text) ?? found.text })),
  );
  const images = conditionalImages(request.chart, request.values, shown);
  const [first] = uses;
  const crds = await confirmedInCrds(request, first?.look.crds ?? '');
  if (!request.copyConditional || first === undefined || images.length === 0)
    return { images, ...crds, use: undefined, warnings: [] };
  const switched = await switchOn(images, shown, (values) => renders.raw(merge(first.values, values), request.signal), {
    memo: renders.memo,
  });
  const warnings = switched.refused.map(
    ({ switches, why }) =>
      `cannot be switched on for conditional images: ${switches.map(({ path }) => path.join('.')).join(', ')}: ${why}`,
  );
  if (switched.on.length === 0) return { images, ...crds, use: undefined, warnings };
  const profile = { name: conditionalProfile, values: merge(first.profile.values, switched.values) };
  const values = merge(merge(request.values, request.declared), merge(profile.values, request.declared));
  const look = await renders.look(values, request.signal);
  return { images, ...crds, use: look.kind === 'rendered' ? { profile, values, look } : undefined, warnings };
}

/** All of them are guesses, also where a container's image is by its place: examples stand there, too. */
async function confirmedInCrds(
  { exists, isAllowed, signal }: IsolationRequest,
  crds: string,
): Promise<Pick<Conditionals, 'inCrds' | 'rejected'>> {
  const all = crdReferences(crds);
  const allowed = all.filter(({ text }) => isAllowed(text));
  const asked = all.filter(({ text }) => !isAllowed(text)).map((found) => ({ ...found, kind: 'text' as const }));
  const { references, rejected, undecided } = await confirm(asked, exists, signal);
  return { inCrds: [...allowed, ...references], rejected: rejectedOf({ rejected, undecided }) };
}

/** Only what names a host and a version: the documentation in a CRD is full of examples. */
function crdReferences(crds: string): readonly FoundReference[] {
  const texts = new Map<string, FoundReference>();
  for (const found of discover(crds).references) if (isExact(found.text)) texts.set(found.text, found);
  return [...texts.values()];
}

function isExact(text: string): boolean {
  try {
    const { registry, tag, digest } = parseReference(text);
    return registry !== undefined && (tag ?? digest) !== undefined;
  } catch (error) {
    if (isReplicationError(error)) return false;
    throw error;
  }
}

/** `sidecar.image` */
export function conditionPath({ valuePath }: ConditionalImage): string {
  return formatPath(valuePath);
}
