import type { FetchedChart } from '../charts/fetch.ts';
import type { IsolatedChart } from '../charts/isolation/port.ts';
import type { UncontrolledPolicy } from '../charts/isolation/verdict.ts';
import { type IsolatedArchive, patchIsolated } from '../charts/patch/isolated.ts';
import type { Patched } from '../charts/patch/port.ts';
import { isolatedRemedies } from '../charts/remedies/isolated.ts';
import type { Remedies } from '../charts/remedies/port.ts';
import { toReplicationError } from '../model/errors.ts';
import type { Reporter } from '../report/events.ts';

/** How the chart is rendered, and where its images go. */
export type Surroundings = Omit<IsolatedArchive, 'isolated' | 'archive'>;

/**
 * What is done about references that no value moves: with PATCH the chart is changed where they literally stand, and for what
 * is left then, remedies are tried.
 * @throws ReplicationError as `patchIsolated`
 */
export async function settleUncontrolled(
  isolated: IsolatedChart,
  fetched: FetchedChart,
  policy: UncontrolledPolicy,
  surroundings: Surroundings,
  reporter: Reporter,
): Promise<IsolatedChart> {
  if (!hasUncontrolled(isolated)) return isolated;
  const request = { ...surroundings, archive: fetched.archive };
  const provenance = fetched.provenance !== undefined;
  const after =
    policy === 'PATCH' ? await patchIsolated({ ...request, isolated, provenance }) : { isolated, patched: undefined };
  const { patched } = after;
  if (patched !== undefined) tellPatch(after.isolated, fetched, patched, reporter);
  const archive = patched?.archive ?? fetched.archive;
  const remedies = await triedRemedies({ ...request, archive, isolated: after.isolated }, reporter);
  return { ...after.isolated, patched, remedies };
}

function hasUncontrolled({ isolation }: IsolatedChart): boolean {
  return isolation.references.some(({ outcome }) => outcome === 'uncontrolled');
}

/** A remedy is an offer: that none can be made is told, and ends no run. */
async function triedRemedies(request: IsolatedArchive, reporter: Reporter): Promise<Remedies | undefined> {
  const { isolation } = request.isolated;
  if (!hasUncontrolled(request.isolated)) return undefined;
  try {
    return await isolatedRemedies(request);
  } catch (error) {
    request.signal.throwIfAborted();
    const message = `chart ${isolation.name} ${isolation.version}: no remedies could be tried: ${toReplicationError(error).message}`;
    reporter.emit({ type: 'notice', level: 'warning', message });
    return undefined;
  }
}

function tellPatch(
  { isolation }: IsolatedChart,
  { chart, source }: FetchedChart,
  { version, moved }: Patched,
  reporter: Reporter,
): void {
  const files = [...new Set(moved.flatMap((each) => each.files))];
  const references = moved.map(({ text }) => text).join(', ');
  const message = `chart ${isolation.name} ${chart.version} is replicated as ${version}: ${references} replaced in ${files.join(', ')}`;
  reporter.emit({ type: 'notice', level: 'info', message });
  if (source.kind !== 'oci') return;
  const signatures = `chart ${isolation.name} ${version}: signatures that ${source.registry}/${source.repository} has of the original do not come along, as they are not about the patched chart`;
  reporter.emit({ type: 'notice', level: 'warning', message: signatures });
}
