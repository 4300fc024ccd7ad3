import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, parseDocument, type YAMLMap } from 'yaml';
import { ReplicationError } from '../../model/errors.ts';
import { type ChartMetadata, readMetadata } from '../chart.ts';

/** A change of a text between two positions. */
interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * Chart.yaml with another version and further annotations. Everything else keeps its bytes: comments, order, and numbers as they are
 * written.
 * @throws ReplicationError `unsupported` when the file is written so unusually that this cannot be done
 */
export function rewriteChartYaml(text: string, version: string, annotations: Readonly<Record<string, string>>): string {
  const document = parseDocument(text, { uniqueKeys: false, strict: false, logLevel: 'silent', version: '1.1' });
  const top = document.contents;
  if (!isMap(top) || document.errors.length > 0) throw unusual();
  const splices = [versionSplice(top, version), annotationSplice(top, text, annotations)];
  let result = text;
  for (const { start, end, text: piece } of splices.sort((a, b) => b.start - a.start))
    result = result.slice(0, start) + piece + result.slice(end);
  return checked(text, result, version, annotations);
}

function versionSplice(top: YAMLMap, version: string): Splice {
  const node = valueOf(top, 'version');
  if (!isScalar(node) || node.range == null) throw unusual();
  return { start: node.range[0], end: node.range[1], text: JSON.stringify(version) };
}

function annotationSplice(top: YAMLMap, text: string, annotations: Readonly<Record<string, string>>): Splice {
  const node = valueOf(top, 'annotations');
  const lines = Object.entries(annotations).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
  if (isMap(node) && node.range != null && node.flow !== true) {
    const start = node.range[0];
    const indent = ' '.repeat(start - (text.lastIndexOf('\n', start - 1) + 1));
    return { start, end: start, text: lines.map((line) => `${line}${indent}`).join('') };
  }
  if (isMap(node) && node.range != null) {
    const own: unknown = node.toJSON();
    return { start: node.range[0], end: node.range[1], text: JSON.stringify({ ...Object(own), ...annotations }) };
  }
  if (isScalar(node) && node.value === null && node.range != null)
    return { start: node.range[0], end: node.range[1], text: ` ${JSON.stringify(annotations)}` };
  if (top.flow === true || node !== undefined || top.range == null) throw unusual();
  // Before the first key: nothing that may end the file (a comment, another document) is in the way.
  const start = top.range[0];
  return { start, end: start, text: `annotations:\n${lines.map((line) => `  ${line}`).join('')}` };
}

function valueOf(map: YAMLMap, key: string): unknown {
  return map.items.findLast((pair) => isScalar(pair.key) && pair.key.value === key)?.value ?? undefined;
}

/** Reads both files as helm does: nothing else may have changed. */
function checked(
  before: string,
  after: string,
  version: string,
  annotations: Readonly<Record<string, string>>,
): string {
  const expected: ChartMetadata = { ...metadataOf(before), version };
  const all = { ...expected.annotations, ...annotations };
  if (isDeepStrictEqual(metadataOf(after), { ...expected, annotations: all })) return after;
  throw unusual();
}

function metadataOf(text: string): ChartMetadata {
  return readMetadata(new Map([['Chart.yaml', Buffer.from(text)]]), 'the chart');
}

function unusual(): ReplicationError {
  return new ReplicationError('unsupported', 'its Chart.yaml is written in a form that cannot be changed safely');
}
