import { describe, expect, it } from 'vitest';
import {
  asVersion,
  chooseVersion,
  isExactVersion,
  nearbyNames,
  nearbyVersions,
  newestFirst,
  parseConstraint,
  tagOfVersion,
  versionOfTag,
} from './version.ts';

const available = ['1.2.3', 'v1.3.0', '1.10.0', '2.0.0-rc.1', '1.4.0+build.5', 'not-a-version', '0.9'];

describe('the version helm would choose', () => {
  it.each([
    ['1.2.3', '1.2.3'],
    ['v1.2.3', '1.2.3'],
    ['1.3.0', 'v1.3.0'],
    ['not-a-version', 'not-a-version'],
    ['', '1.10.0'],
    ['*', '1.10.0'],
    ['1.x', '1.10.0'],
    ['~1.2', '1.2.3'],
    ['^1.2.0', '1.10.0'],
    ['>=1.2, <1.4', 'v1.3.0'],
    ['>=1.2 <1.4', 'v1.3.0'],
    ['1.2 - 1.4', '1.4.0+build.5'],
    ['<1.0 || 1.3.x', 'v1.3.0'],
    ['!=1.10.0', '1.4.0+build.5'],
    ['=>1.4.0', '1.10.0'],
    ['~> 1.4.0', '1.4.0+build.5'],
    ['1.4.0', '1.4.0+build.5'],
    ['>=1.0.0-0', '2.0.0-rc.1'],
    ['>= 2-0', '2.0.0-rc.1'],
    ['*-0', '2.0.0-rc.1'],
    ['2.x-0', '2.0.0-rc.1'],
    ['>2.0.0-alpha, <3', '2.0.0-rc.1'],
    ['>=2.0.0', undefined],
    ['^3', undefined],
    ['latest', undefined],
  ])('for %j is %j', (wanted, chosen) => {
    expect(chooseVersion(available, wanted)).toBe(chosen);
  });

  it('takes no pre-release unless the range names one', () => {
    expect(chooseVersion(['1.0.0-rc.1'], '*')).toBeUndefined();
    expect(chooseVersion(['1.0.0-rc.1'], '>=0.1.0 || >=0.1.0-0')).toBe('1.0.0-rc.1');
    // Unlike npm: a pre-release in the range admits those of other versions, too (Masterminds/semver 3.4).
    expect(chooseVersion(['1.0.0', '1.5.0-beta'], '^1.0.0-0')).toBe('1.5.0-beta');
  });
});

describe('versions', () => {
  it('are read leniently, as helm does', () => {
    expect(asVersion('v1.2')?.version).toBe('1.2.0');
    expect(asVersion('2024.01.02')?.version).toBe('2024.1.2');
    expect(asVersion('1.2.3.4')).toBeUndefined();
    expect(asVersion('')).toBeUndefined();
    expect(isExactVersion('v1.2.3-rc.1+x')).toBe(true);
    expect(['1.2', '^1.2.3', '>=1.2.3', '1.2.x', ''].filter(isExactVersion)).toEqual([]);
    expect(['latest', '1.2.3.4', '>', '1.2 or 3'].map(parseConstraint)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('sort by number, the unreadable last', () => {
    expect(newestFirst(available)).toEqual([
      '2.0.0-rc.1',
      '1.10.0',
      '1.4.0+build.5',
      'v1.3.0',
      '1.2.3',
      '0.9',
      'not-a-version',
    ]);
  });

  it('become tags and come back', () => {
    expect(tagOfVersion('1.0.0+a.1')).toBe('1.0.0_a.1');
    expect(versionOfTag('1.0.0_a.1')).toBe('1.0.0+a.1');
  });
});

describe('suggestions', () => {
  it('name the ten versions around the one asked for', () => {
    const many = Array.from({ length: 30 }, (_, n) => `1.${n}.0`);
    expect(nearbyVersions(many, '1.15.5')).toBe(
      '1.20.0, 1.19.0, 1.18.0, 1.17.0, 1.16.0, 1.15.0, 1.14.0, 1.13.0, 1.12.0, 1.11.0 and 20 more',
    );
    expect(nearbyVersions(many, '9.0.0')).toMatch(/^1\.29\.0, .* and 20 more$/);
    expect(nearbyVersions(many, '0.1.0')).toMatch(/1\.0\.0 and 20 more$/);
    expect(nearbyVersions(['1.0.0', '2.0.0'], '3')).toBe('2.0.0, 1.0.0');
  });

  it('name similar charts first', () => {
    expect(nearbyNames(['redis', 'postgresql', 'cert-manager'], 'certmanager')).toMatch(/^cert-manager/);
    expect(nearbyNames(['b', 'x-redis-cluster', 'a'], 'redis')).toMatch(/^x-redis-cluster/);
  });
});
