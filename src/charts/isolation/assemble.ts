import type { ChartIsolation, ConditionalReference } from '../../model/isolation.ts';
import { targetReference } from '../../model/target-name.ts';
import type { Derived } from '../overrides/port.ts';
import { formatPath, merge } from '../values/tree.ts';
import { type Conditionals, conditionPath } from './conditionals.ts';
import type { Findings, Row } from './findings.ts';
import { conditionalProfile, type FoundImage, type IsolatedChart, type IsolationRequest } from './port.ts';
import { referenceRows } from './rows.ts';
import { byDigestAlone, placeOf, placeText } from './texts.ts';
import { warningsOf } from './warnings.ts';

/** Puts together what the plan, the proof and the report need to know of a chart. */
export async function assemble(request: IsolationRequest, findings: Findings): Promise<IsolatedChart> {
  const { derivation, uses, hidden, pins, cost } = findings;
  const rows = referenceRows(request, findings);
  const overrides = merge(merge(derivation.values, request.declared), pins.values);
  const problems = problemsOf(derivation);
  const isolation: ChartIsolation = {
    key: request.key,
    name: request.chart.name,
    version: request.chart.version,
    target: request.chartTarget,
    profiles: uses.map(({ profile }) => profile.name).filter((name) => name !== conditionalProfile),
    references: rows.map(({ row }) => row),
    conditional: conditionalRows(request, hidden, rows),
    rejected: rejectedRows(findings),
    derived: distinct(derivation.proof.derived.map(({ template, before, after }) => ({ template, before, after }))),
    warnings: [...(await warningsOf(request, uses, rows)), ...hidden.warnings],
    holds: problems.length === 0 && !rows.some(({ row }) => row.outcome === 'refused' || row.outcome === 'unknown'),
    problems: [...new Set(problems)],
    ...cost,
  };
  return {
    values: merge(request.values, overrides),
    overrides,
    images: imagesOf(request, rows),
    isolation,
    uses: uses.map(({ profile }) => profile),
  };
}

/** Those of the renders, and those of `crds/` that are not told by them. */
function rejectedRows({ rejected, wanted, hidden }: Findings): ChartIsolation['rejected'] {
  const told = new Set(rejected.map(({ found }) => found.text));
  const others = hidden.rejected.filter(({ found }) => !told.has(found.text) && !wanted.has(found.text));
  return [...rejected, ...others].map(({ found, why }) => ({ text: found.text, place: placeOf(found.place), why }));
}

/** Installs and upgrades render most lines alike. */
function distinct<T>(items: readonly T[]): T[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
}

function problemsOf({ proof }: Derived): readonly string[] {
  return [
    ...proof.failures.map(
      ({ profile, found, why }) => `${why} (${placeText(placeOf(found.place))}, profile ${profile})`,
    ),
    ...proof.unexplained.map(
      ({ template, before, after }) =>
        `${template} differs with the overrides in more than references: "${before}" becomes "${after}"`,
    ),
  ];
}

/** Images that have to be copied for the references, each under the name that the chart asks for. */
function imagesOf({ declaredImages, prefix }: IsolationRequest, rows: readonly Row[]): readonly FoundImage[] {
  return rows.flatMap(({ row, found, digest }) => {
    if (row.outcome === 'allowed') return [];
    const target = row.target ?? targetReference(prefix, row.reference);
    if (declaredImages.has(target)) return [];
    // The tag is that of the declared image, which may be another content by now.
    const isTagTaken = digest === undefined && declaredImages.has(target.slice(0, target.indexOf('@')));
    const name = isTagTaken ? (byDigestAlone(target) ?? target) : target;
    return [{ reference: row.reference, target: name, digest, place: found.place }];
  });
}

function conditionalRows(
  { declaredImages, prefix }: IsolationRequest,
  { images, inCrds, use }: Conditionals,
  rows: readonly Row[],
): ConditionalReference[] {
  const repointed = rows.filter(({ row }) => row.outcome === 'repointed').map(({ row }) => row.reference);
  const isCopied = (text: string): boolean =>
    (use !== undefined && repointed.some((each) => each === text || each.endsWith(`/${text}`))) ||
    declaredImages.has(targetReference(prefix, text));
  return [
    ...images.map((image) => ({
      references: [...image.candidates],
      valuePath: conditionPath(image),
      switches: image.switches.map(({ path }) => formatPath(path)),
      copied: image.candidates.some(isCopied),
    })),
    ...inCrds.map(({ text, place }) => ({
      references: [text],
      valuePath: `${place.template}:${place.line}`,
      switches: [],
      copied: false,
    })),
  ];
}
