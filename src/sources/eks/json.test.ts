import { describe, expect, it } from 'vitest';
import { deepMerge, isJsonMap, withValue } from './json.ts';
import type { JsonMap } from './schema.ts';

function parsed(text: string): JsonMap {
  const value: unknown = JSON.parse(text);
  if (!isJsonMap(value)) throw new Error(`no map: ${text}`);
  return value;
}

describe('maps with keys that JavaScript treats specially', () => {
  it('are merged as maps, and no prototype is set', () => {
    const merged = deepMerge(parsed('{"a":1}'), parsed('{"__proto__":{"polluted":true},"constructor":{"b":2}}'));
    expect('polluted' in merged).toBe(false);
    expect(JSON.stringify(merged)).toBe('{"a":1,"__proto__":{"polluted":true},"constructor":{"b":2}}');
  });

  it('get values at paths of such names', () => {
    expect(JSON.stringify(withValue({}, ['constructor', 'image'], 'x'))).toBe('{"constructor":{"image":"x"}}');
  });
});
