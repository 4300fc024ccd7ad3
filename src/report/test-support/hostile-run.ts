/** For tests only: a run in which every text from outside wants to be more than text. */
import type { ChartIsolation } from '../../model/isolation.ts';
import type { ReportInput } from '../report-data-build.ts';
import { failure, image, isolation, reference, runRecord } from './parts.ts';

/** What a registry, a chart or a data file may call things. */
const hostile: readonly string[] = [
  `"><script>alert(1)</script>`,
  `' onmouseover='alert(1)`,
  '</code></td></table><img src=x onerror=alert(1)>',
  '</style></script><script>alert(1)</script>',
  '\u202egnp.exe\u2066',
  '&lt;b&gt;\u0000\u001b[31m',
];

/** Everything that comes from outside is hostile. */
export function hostileRun(): ReportInput & { readonly charts: readonly ChartIsolation[] } {
  const charts = hostile.map((text) =>
    isolation(text, {
      name: text,
      version: text,
      target: text,
      profiles: [text],
      references: [
        reference(text, {
          proof: 'failed',
          problem: text,
          why: text,
          controlledBy: [text],
          target: text,
          places: [1, 2].map((line) => ({ template: text, line, object: text, field: text })),
        }),
      ],
      conditional: [{ references: [text], valuePath: text, switches: [text], copied: false }],
      rejected: [{ text, place: { template: text, line: 1, object: text, field: text }, why: text }],
      derived: [{ template: text, before: text, after: text }],
      warnings: [text],
      problems: [text],
      holds: false,
    }),
  );
  const record = runRecord({
    ok: false,
    job: hostile[0],
    target: hostile[1],
    outcomes: hostile.map((text) => ({ kind: 'failed', artifact: text, targets: [text], failures: [failure(text)] })),
    failures: hostile.map((text) =>
      failure(text, { cause: text, remedy: text, host: text, reference: `${text} `, digest: text }),
    ),
    notices: hostile.map((message) => ({ level: 'warning', message })),
    phases: hostile.map((phase) => ({ phase, started: '2026-11-21T08:36:51.200Z' })),
    retries: hostile.map((text) => ({ host: text, reason: text, count: 1 })),
    files: hostile,
  });
  const images = hostile.map((text) =>
    image(text, { targets: [text], origins: [{ path: text, file: text, line: 1 }] }),
  );
  return { record, plan: { version: 1 as const, job: 'eks', images, charts: [] }, charts };
}
