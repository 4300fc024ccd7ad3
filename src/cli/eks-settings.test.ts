import { describe, expect, it } from 'vitest';
import { ReplicationErrors } from '../model/errors.ts';
import { type EksSettings, eksSettings } from './eks-settings.ts';
import type { EnvironmentVariables } from './environment.ts';
import { laterParameters } from './later-parameters.ts';

const owner = { eksVersion: '1.34', project: 'demo', deployment: 'dev', module: 'replication', region: 'eu-west-1' };
const account = '123456789012';
const id = '0f1e2d3c-aaaa-bbbb-cccc-0123456789ab';

function variables(parameters: Readonly<Record<string, string>>): EnvironmentVariables {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [`SEEDFARMER_PARAMETER_${name}`, value]));
}

function settings(parameters: Readonly<Record<string, string>>): EksSettings {
  return eksSettings(owner, variables(parameters), 0);
}

function refused(parameters: Readonly<Record<string, string>>): string {
  try {
    settings(parameters);
  } catch (error) {
    if (error instanceof ReplicationErrors)
      return error.errors.map(({ message, remedy }) => `${message}; ${remedy ?? ''}`).join('\n');
    throw error;
  }
  return 'taken';
}

describe('EncryptionKey', () => {
  it.each([
    'AES256',
    'KMS',
    id,
    'mrk-0123456789abcdef0123456789abcdef',
    `arn:aws:kms:eu-west-1:${account}:key/${id}`,
    `arn:aws-us-gov:kms:us-gov-west-1:${account}:key/mrk-0123456789abcdef0123456789abcdef`,
    'alias/team/images',
    `arn:aws-cn:kms:cn-north-1:${account}:alias/team_images-1`,
  ])('is taken as it is: %s', (key) => {
    expect(settings({ ENCRYPTION_KEY: key }).encryptionKey).toBe(key);
  });

  it.each([
    ['kms', 'write it as KMS'],
    ['aes256', 'write it as AES256'],
    ['team/images', 'alias/'],
    ['alias/', 'alias/'],
    [`arn:aws:s3:::${id}`, 'ARN'],
    [`arn:aws:kms:eu-west-1:${account}:key/${id} x`, 'ARN'],
    ['no', 'AES256, KMS'],
  ])('is refused before anything is created: %s', (key, remedy) => {
    expect(refused({ ENCRYPTION_KEY: key })).toContain(`the parameter EncryptionKey is "${key}"`);
    expect(refused({ ENCRYPTION_KEY: key })).toContain(remedy);
  });
});

describe('other parameters', () => {
  it('a RetentionType that is none is refused when deploying already, not only when destroying', () => {
    expect(refused({ RETENTION_TYPE: 'keep' })).toContain('RetentionType "keep" is neither RETAIN nor DESTROY');
    expect(refused({ RETENTION_TYPE: 'destroy' })).toBe('taken');
  });

  it.each(['linux/amd64 linux/arm64', 'Linux/AMD64', 'linux/amd64;linux/arm64', '"linux"/amd64', 'linux/am*'])(
    'a platform with characters that no platform has is refused: %s',
    (text) => {
      expect(refused({ PLATFORMS: text })).toContain('is not a platform');
    },
  );

  it('values that come as JSON texts are the texts', () => {
    expect(settings({ PLATFORMS: '"linux/amd64"' }).platforms).toEqual([{ os: 'linux', architecture: 'amd64' }]);
    expect(settings({ PLATFORMS: '["linux/amd64", "linux/arm/v7"]' }).platforms).toHaveLength(2);
    expect(settings({ MAX_MINUTES: '"45"', SCAN_ON_PUSH: '"false"', ENCRYPTION_KEY: '"KMS"' })).toMatchObject({
      maxMinutes: 45,
      scanOnPush: false,
      encryptionKey: 'KMS',
    });
    expect(settings({ ENCRYPTION_KEY: '""' }).encryptionKey).toBe('AES256');
  });

  it.each(['0', '-1', '0x10', '1e3', 'Infinity', '"soon"'])('a MaxMinutes of %s is refused', (text) => {
    expect(refused({ MAX_MINUTES: text })).toContain('the parameter MaxMinutes is');
  });
});

describe('parameters of later versions', () => {
  const later = (parameters: Readonly<Record<string, string>>): readonly string[] =>
    laterParameters(variables(parameters));

  it('are told to have no effect when they ask for anything', () => {
    const asked = { UNCONTROLLED_IMAGES: 'FAIL', ALLOWED_REGISTRIES: '["a.example"]', PIN_DIGESTS: 'true' };
    expect(later({ ...asked, API_VERSIONS: 'a/v1' })).toEqual([
      'the parameter UncontrolledImages is "FAIL", but this version does not act on it yet',
      'the parameter AllowedRegistries is "["a.example"]", but this version does not act on it yet',
      'the parameter PinDigests is "true", but this version does not act on it yet',
      'the parameter ApiVersions is "a/v1", but this version does not act on it yet',
    ]);
  });

  it('are passed over when unset or at their defaults', () => {
    expect(later({})).toEqual([]);
    const defaults = { UNCONTROLLED_IMAGES: 'warn', ALLOWED_REGISTRIES: '[]', PIN_DIGESTS: 'False' };
    expect(later({ ...defaults, API_VERSIONS: '' })).toEqual([]);
  });
});
