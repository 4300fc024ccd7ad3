import { describe, expect, it } from 'vitest';
import { checkTargetRepository, portAsName, registryAsName, splitTarget, targetReference } from './target-name.ts';

const prefix = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-';

describe('target names', () => {
  it('keeps a reference as it was written', () => {
    expect(targetReference(prefix, 'quay.io/a/b:1.2')).toBe(`${prefix}quay.io/a/b:1.2`);
    expect(targetReference(prefix, 'nginx:1.2')).toBe(`${prefix}nginx:1.2`);
    expect(targetReference(prefix, 'nginx')).toBe(`${prefix}nginx`);
    const digest = `sha256:${'a'.repeat(64)}`;
    expect(targetReference(prefix, `quay.io/a:1@${digest}`)).toBe(`${prefix}quay.io/a:1@${digest}`);
  });

  it('turns the port of a registry into a part of the name, and nothing else', () => {
    expect(targetReference(prefix, 'host:5000/a/b:8080')).toBe(`${prefix}host-5000/a/b:8080`);
    expect(targetReference(prefix, 'nginx:5000')).toBe(`${prefix}nginx:5000`);
    expect(registryAsName('host:5000')).toBe('host-5000');
    expect(registryAsName('host:5000/team')).toBe('host-5000/team');
    expect(registryAsName('quay.io')).toBe('quay.io');
  });

  it('has hosts in lower case, and leaves everything behind them', () => {
    expect(targetReference(prefix, 'QUAY.IO/a/b:V1')).toBe(`${prefix}quay.io/a/b:V1`);
    expect(targetReference(prefix, 'Host:5000/a:V1')).toBe(`${prefix}host-5000/a:V1`);
    expect(targetReference(prefix, 'nginx:V1')).toBe(`${prefix}nginx:V1`);
    expect(registryAsName('Quay.IO/a/b:V1')).toBe('quay.io/a/b:V1');
    expect(registryAsName('HOST:5000')).toBe('host-5000');
    for (const text of ['nginx:V1', 'Team/App', 'nginx@sha256:A', 'a/B.C']) expect(registryAsName(text)).toBe(text);
    expect(portAsName('Charts:5000')).toBe('Charts-5000');
  });

  it('splits a target whose registry has a port and no dot', () => {
    expect(splitTarget('registry:5000/demo-a/b:1')).toEqual({
      host: 'registry:5000',
      repository: 'demo-a/b',
      tag: '1',
      digest: undefined,
    });
    expect(splitTarget('registry:5000/demo-a/b')).toMatchObject({ repository: 'demo-a/b', tag: undefined });
  });

  it.each(['x/y', 'demo-quay.io/a/b:1', 'demo-a__b/c', 'demo-a--b', 'demo-registry-5000/x', `d${'a'.repeat(255)}`])(
    'accepts %s',
    (name) => {
      expect(() => checkTargetRepository(`host.example/${name}`)).not.toThrow();
    },
  );

  it.each([
    ['demo-Quay.io/a', 'upper-case'],
    ['demo-a..b', 'characters in places'],
    ['demo-/a', 'characters in places'],
    ['demo-[-1]-5000/a', 'characters in places'],
    ['demo-a.', 'characters in places'],
    [`d${'a'.repeat(256)}`, '257 characters'],
    ['a', 'shorter'],
  ])('refuses %s and says why', (name, why) => {
    expect(() => checkTargetRepository(`host.example/${name}`)).toThrow(why);
  });
});
