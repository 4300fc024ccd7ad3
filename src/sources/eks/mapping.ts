import { parseReference } from '../../model/reference.ts';

/**
 * Where an image is read from: the reference with its host replaced by what docker_mappings give for exactly this host (or
 * for it in lower case), or for `default` where no host is written. A host without a mapping stays. Tag and digest stay; a
 * mapped reference without either gets `:latest` (as the original module writes it).
 * @throws ReplicationError `configuration` when the text is no image reference
 */
export function mapSource(written: string, mappings: ReadonlyMap<string, string>): string {
  const { registry, tag, digest } = parseReference(written);
  const host = registry ?? 'default';
  const target = mappings.get(host) ?? mappings.get(host.toLowerCase());
  if (target === undefined) return written;
  const rest = registry === undefined ? written : written.slice(registry.length + 1);
  return `${target}/${rest}${tag === undefined && digest === undefined ? ':latest' : ''}`;
}
