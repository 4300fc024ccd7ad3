import type { CopyRequest } from '../copy/request.ts';
import type { Plan } from '../model/plan.ts';
import { locate, parseReference } from '../model/reference.ts';
import type { Reporter } from '../report/events.ts';

/** Says how much a plan asks for, and where it is read from. */
export function announcePlan(reporter: Reporter, plan: Plan): void {
  const hosts = new Set([
    ...plan.images.map((image) => locate(parseReference(image.source)).registry),
    ...plan.charts.map((chart) => chart.repository),
  ]);
  reporter.emit({
    type: 'planned',
    images: plan.images.length,
    charts: plan.charts.length,
    targets: plan.images.reduce((sum, image) => sum + image.targets.length, 0) + plan.charts.length,
    sources: [...hosts].sort(),
  });
}

/** The same for images that are told by requests alone. */
export function announceRequests(reporter: Reporter, requests: readonly CopyRequest[]): void {
  reporter.emit({
    type: 'planned',
    images: requests.length,
    charts: 0,
    targets: requests.reduce((sum, request) => sum + request.targets.length, 0),
    sources: [...new Set(requests.map((request) => request.source.store.name))].sort(),
  });
}
