import { stringify } from 'yaml';

/**
 * YAML of JSON-like data for readers of YAML 1.1 and 1.2 alike. Every string is quoted: helm reads a plain `on` as a boolean, `0777` and
 * `0o17` as numbers (go-yaml v2), others do not.
 */
export function yamlText(value: unknown): string {
  return stringify(value, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0, version: '1.1' });
}

/** Lines as comments above a document. */
export function commented(lines: readonly string[]): string {
  return lines.map((line) => `# ${line.replaceAll(/\s/g, ' ')}\n`).join('');
}
