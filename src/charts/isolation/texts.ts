import type { IsolationPlace } from '../../model/isolation.ts';
import type { FoundReference } from '../discovery/found.ts';
import { formatPath, type ValuePath } from '../values/tree.ts';

/** A place as the report has it. */
export function placeOf({ template, line, object, path, inside }: FoundReference['place']): IsolationPlace {
  const name = object.namespace === undefined ? object.name : `${object.namespace}/${object.name}`;
  const within = inside === undefined || inside.length === 0 ? '' : ` > ${formatPath(inside)}`;
  return { template, line, object: `${object.kind}/${name}`, field: `${formatPath(path)}${within}` };
}

/** `Deployment/web spec.containers[0].image (web/templates/deployment.yaml:12)` */
export function placeText({ template, line, object, field, onlyUpgrade }: IsolationPlace): string {
  return `${object} ${field} (${template}:${line}${onlyUpgrade === true ? ', upgrades only' : ''})`;
}

/** Begins the warning about a chart that does not render for an upgrade. */
export function noUpgrade(profile: string): string {
  return `does not render for an upgrade under profile ${profile},`;
}

export function isInList(path: ValuePath): boolean {
  return path.some((key) => typeof key === 'number');
}

/** `name@sha256:…` of `name:tag@sha256:…`; `undefined` for what has no digest or no tag. */
export function byDigestAlone(target: string): string | undefined {
  const [, name, digest] = /^(.*\/[^/:@]+):[^/:@]+(@.+)$/.exec(target) ?? [];
  return name === undefined || digest === undefined ? undefined : `${name}${digest}`;
}
