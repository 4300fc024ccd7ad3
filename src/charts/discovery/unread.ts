import { gunzipSync } from 'node:zlib';
import type { ObjectIdentity, ReferencePlace } from './found.ts';
import { referencesIn } from './grammar.ts';
import { at, textAt, type Tree } from './yaml-tree.ts';

/** Data that seems to name images and is not read for them: what it says goes nowhere. */
export interface UnreadData {
  readonly place: ReferencePlace;
  /** `secret`: it belongs to nobody else. `encoded`: base64, perhaps compressed, so that no value or patch can reach into it. */
  readonly why: 'secret' | 'encoded';
}

const maxDecodedBytes = 16 * 1024 * 1024;
const maxLayers = 3;

/** Data of a Secret or ConfigMap that names images where nobody looks for them. Places have lines of the parsed text and no template. */
export function unreadData(object: Tree, identity: ObjectIdentity): readonly UnreadData[] {
  const kind = textAt(object, 'kind');
  if (kind !== 'Secret' && kind !== 'ConfigMap') return [];
  const isSecret = kind === 'Secret';
  return ['data', 'stringData', 'binaryData'].flatMap((field) => {
    const map = at(object, field);
    return (map?.kind === 'map' ? map.entries : []).flatMap(([key, value]): readonly UnreadData[] => {
      if (value.kind !== 'scalar' || value.text === undefined) return [];
      const isPlain = isSecret ? field === 'stringData' : field === 'data';
      const texts = [...(isPlain && isSecret ? [value.text] : []), ...layersOf(value.text)];
      if (!texts.some(namesImages)) return [];
      const place = { template: '', line: value.line, object: identity, path: [field, key], span: undefined };
      return [{ place, why: isSecret ? 'secret' : 'encoded' }];
    });
  });
}

/** Whether a document can hold such data; most cannot, and are not parsed. */
export function maybeEncoded(text: string): boolean {
  return /\bkind["']?:\s*["']?ConfigMap\b/.test(text) && /[A-Za-z0-9+/]{40}/.test(text);
}

function namesImages(text: string): boolean {
  return (
    referencesIn(text, 'none').length > 0 || /(?:^|[\s{,"'])image["']?\s*:\s*["']?[a-z0-9][\w./-]*:[\w.-]+/m.test(text)
  );
}

/** What a base64 text says, what that says if it is base64 too, and so on; compressed ones unpacked (a helm release is both, twice). */
function layersOf(text: string): readonly string[] {
  const layers: string[] = [];
  for (let rest = text; layers.length < maxLayers && isBase64(rest);) {
    rest = unpacked(Buffer.from(rest, 'base64'));
    layers.push(rest);
  }
  return layers;
}

function isBase64(text: string): boolean {
  const bare = text.replaceAll(/\s/g, '');
  return bare.length >= 16 && bare.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(bare);
}

function unpacked(bytes: Buffer): string {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.toString('utf8');
  try {
    return gunzipSync(bytes, { maxOutputLength: maxDecodedBytes }).toString('utf8');
  } catch {
    return ''; // broken, or larger than anything that Kubernetes stores
  }
}
