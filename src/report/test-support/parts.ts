/** For tests only: what reports are made of, one of each. */
import { digestOf } from '../../model/digest.ts';
import type { ChartIsolation, IsolatedReference } from '../../model/isolation.ts';
import type { PlannedImage } from '../../model/plan.ts';
import type { Failure } from '../../model/result.ts';
import type { RunRecord } from '../record.ts';

/** What all targets begin with. */
export const registry = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/demo-';

/** A reference that was re-pointed and proven, unless told otherwise. */
export const reference = (source: string, more: Partial<IsolatedReference> = {}): IsolatedReference => ({
  reference: source,
  kind: 'typed',
  places: [
    {
      template: 'demo/templates/deployment.yaml',
      line: 31,
      object: 'Deployment/demo',
      field: 'spec.template.spec.containers[0].image',
    },
  ],
  profiles: ['default'],
  outcome: 'repointed',
  controlledBy: ['image.repository', 'image.tag'],
  insideList: false,
  target: `${registry}${source}`,
  digest: digestOf(source),
  pinned: false,
  proof: 'proven',
  ...more,
});

/** A chart whose isolation holds, unless told otherwise. */
export const isolation = (key: string, more: Partial<ChartIsolation> = {}): ChartIsolation => ({
  key,
  name: key,
  version: '1.2.3',
  target: `${registry}charts/${key}:1.2.3`,
  profiles: ['default'],
  references: [],
  conditional: [],
  rejected: [],
  derived: [],
  warnings: [],
  holds: true,
  problems: [],
  renders: 7,
  seconds: 2.4,
  ...more,
});

/** An image of the plan, of all platforms unless told otherwise. */
export const image = (source: string, more: Partial<PlannedImage> = {}): PlannedImage => ({
  kind: 'image',
  source,
  platforms: 'all',
  targets: [`${registry}${source}`],
  origins: [{ file: 'versions/default.yaml', line: 12, path: 'charts.kyverno.images.admission' }],
  ...more,
});

/** An image that its source does not have, unless told otherwise. */
export const failure = (artifact: string, more: Partial<Failure> = {}): Failure => ({
  artifact,
  side: 'source',
  reference: artifact,
  digest: undefined,
  host: 'quay.io',
  code: 'not-found',
  cause: `${artifact} is not there: quay.io answered 404 to HEAD\nmanifest unknown`,
  remedy: 'check the tag in the data file',
  ...more,
});

/** A run that ended well and did nothing, unless told otherwise. */
export const runRecord = (more: Partial<RunRecord> = {}): RunRecord => ({
  version: 1,
  job: 'eks',
  target: `${registry}…`,
  started: '2026-11-21T08:36:51.123Z',
  finished: '2026-11-21T08:44:03.623Z',
  ok: true,
  phases: [
    { phase: 'plan', started: '2026-11-21T08:36:51.200Z' },
    { phase: 'copy', started: '2026-11-21T08:37:20.200Z' },
    { phase: 'verify', started: '2026-11-21T08:43:10.200Z' },
  ],
  planned: { images: 1, charts: 1, targets: 2 },
  outcomes: [],
  failures: [],
  notices: [],
  retries: [],
  totals: undefined,
  files: [],
  ...more,
});
