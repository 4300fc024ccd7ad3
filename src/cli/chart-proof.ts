import { parseHelmYaml } from '../charts/helm-yaml.ts';
import { isMap, type Values } from '../charts/values/tree.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { ChartIsolation, IsolatedReference } from '../model/isolation.ts';
import type { WriteStore } from '../model/store.ts';
import { splitTarget } from '../model/target-name.ts';
import type { ExtractedChart } from './chart-stages.ts';

export interface ProofRequest {
  readonly chart: ExtractedChart;
  /** Text of the updated values file. */
  readonly updated: string;
  /** Host of the target. */
  readonly registry: string;
  /** Names that are copied in this run. */
  readonly planned: ReadonlySet<string>;
  /** The target, once everything was copied. */
  readonly store: WriteStore | undefined;
  readonly signal: AbortSignal;
}

export interface ChartProof {
  readonly isolation: ChartIsolation;
  readonly failures: readonly ReplicationError[];
  readonly warnings: readonly string[];
}

/**
 * The proof: the chart, rendered with nothing but the updated values file, names only images at the target, and the target has
 * each of them. What no value moves was known before; it is a warning, or a failure where the user wants it to be.
 */
export async function proveUpdatedValues(request: ProofRequest, uncontrolled: 'WARN' | 'FAIL'): Promise<ChartProof> {
  const { chart, signal } = request;
  const { isolation, render } = chart.extraction;
  const title = `chart ${isolation.name} ${isolation.version}`;
  const values = parseHelmYaml(request.updated, 'the updated values file');
  const rendering = await render(isMap(values) ? values : ({} satisfies Values), signal);
  if (rendering.kind === 'refused')
    return {
      isolation: { ...isolation, holds: false },
      warnings: [],
      failures: [refusal(title, `helm refuses the updated values file: ${rendering.why}`, undefined)],
    };
  const outside = new Set([
    ...isolation.references.filter(({ outcome }) => outcome !== 'repointed').map(({ reference }) => reference),
    ...isolation.rejected.map(({ text }) => text),
  ]);
  const names = [...new Set(rendering.references.map(({ text }) => text))];
  const wrong = new Map<string, string>();
  for (const name of names) {
    const why = await whyWrong(name, outside, request);
    if (why !== undefined) wrong.set(name, why);
  }
  const rows = isolation.references.map((row) => proven(row, names, wrong, request.store !== undefined));
  const open = openReferences(rows, title, uncontrolled);
  const failures = [
    ...[...wrong].map(([name, why]) =>
      refusal(title, `rendered with the updated values file it names ${name}, ${why}`, name),
    ),
    ...open.failures,
    ...isolation.problems.map((problem) => refusal(title, problem, undefined)),
  ];
  return {
    isolation: { ...isolation, references: rows, holds: failures.length === 0 },
    failures,
    warnings: open.warnings,
  };
}

async function whyWrong(
  name: string,
  outside: ReadonlySet<string>,
  { registry, planned, store, signal }: ProofRequest,
): Promise<string | undefined> {
  if (!name.startsWith(`${registry}/`)) return outside.has(name) ? undefined : 'which is not at the target';
  if (store === undefined) return undefined;
  const { repository, tag, digest } = splitTarget(name);
  try {
    await store.resolve(repository, digest ?? tag ?? 'latest', signal);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (isReplicationError(error, 'not-found')) return `which the target does not have${planned.has(name) ? '' : ': nothing was to be copied there'}`; // prettier-ignore
    return `which could not be looked up there: ${toReplicationError(error).message}`;
  }
}

function proven(
  row: IsolatedReference,
  names: readonly string[],
  wrong: ReadonlyMap<string, string>,
  asked: boolean,
): IsolatedReference {
  const { target, outcome } = row;
  if (outcome !== 'repointed' || target === undefined || !asked) return row;
  const problem = wrong.get(target) ?? (names.includes(target) ? undefined : 'it is not rendered any more');
  return problem === undefined ? { ...row, proof: 'proven' } : { ...row, proof: 'failed', problem };
}

function openReferences(
  rows: readonly IsolatedReference[],
  title: string,
  uncontrolled: 'WARN' | 'FAIL',
): { readonly warnings: readonly string[]; readonly failures: readonly ReplicationError[] } {
  const warnings: string[] = [];
  const failures: ReplicationError[] = [];
  for (const { reference, outcome, places, why = 'no value moves it' } of rows) {
    const [place] = places;
    const where = place === undefined ? '' : ` (${place.template}:${place.line}, ${place.object})`;
    if (outcome === 'uncontrolled') {
      const message = `still names ${reference}${where}: ${why}; the image is copied all the same`;
      if (uncontrolled === 'WARN') warnings.push(`${title} ${message}`);
      else failures.push(refusal(title, message, reference));
    } else if (outcome === 'refused' || outcome === 'unknown')
      failures.push(refusal(title, `${reference}${where} cannot be re-pointed: ${why}`, reference));
  }
  return { warnings, failures };
}

function refusal(title: string, message: string, reference: string | undefined): ReplicationError {
  return new ReplicationError('refused', `${title}: ${message}`, {
    side: 'module',
    reference: reference ?? title,
    remedy:
      'set the value by hand in the file given by --values, or use a version of the chart that has a value for it',
  });
}
