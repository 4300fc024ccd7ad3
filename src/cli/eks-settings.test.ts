import { describe, expect, it } from 'vitest';
import { ReplicationErrors } from '../model/errors.ts';
import { type EksSettings, eksSettings } from './eks-settings.ts';
import type { EnvironmentVariables } from './environment.ts';

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

describe('parameters of the isolation', () => {
  it('are at their defaults: warn, nothing allowed, no pins', () => {
    const found = settings({ ALLOWED_REGISTRIES: '[]' });
    expect(found).toMatchObject({ uncontrolledImages: 'WARN', pinDigests: false, apiVersions: [] });
    expect(found.isAllowed('602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/coredns:v1')).toBe(false);
  });

  it.each(['fail', 'Fail', 'FAIL'])('UncontrolledImages is taken in any case: %s', (text) => {
    expect(settings({ UNCONTROLLED_IMAGES: text }).uncontrolledImages).toBe('FAIL');
  });

  it('an UncontrolledImages that is none is refused', () => {
    expect(refused({ UNCONTROLLED_IMAGES: 'ignore' })).toContain('the parameter UncontrolledImages is "ignore"');
  });

  it('ApiVersions and AllowedRegistries are comma lists or JSON lists', () => {
    expect(settings({ API_VERSIONS: 'a.example/v1, b.example/v1' }).apiVersions).toEqual([
      'a.example/v1',
      'b.example/v1',
    ]);
    const { isAllowed } = settings({ ALLOWED_REGISTRIES: '["mirror.example:5000", "docker.io"]' });
    expect(['mirror.example:5000/a:1', 'nginx:1', 'docker.io/a/b'].map(isAllowed)).toEqual([true, true, true]);
    expect(['mirror.example/a:1', 'evil.mirror.example:5000/a:1', 'quay.io/a:1'].map(isAllowed)).toEqual([
      false,
      false,
      false,
    ]);
    expect(refused({ ALLOWED_REGISTRIES: 'https://mirror.example' })).toContain(
      'AllowedRegistries names "https://mirror.example", which is no host',
    );
  });

  it('EKS_ADDONS allows the registries of AWS add-ons in the own region only', () => {
    const { isAllowed } = settings({ ALLOWED_REGISTRIES: 'EKS_ADDONS' });
    const host = (who: string, region: string): string => `${who}.dkr.ecr.${region}.amazonaws.com/eks/coredns:v1`;
    expect(isAllowed(host('602401143452', 'eu-west-1'))).toBe(true);
    expect(isAllowed(host('602401143452', 'us-west-2'))).toBe(false);
    expect(isAllowed(host(account, 'eu-west-1'))).toBe(false);
    expect(isAllowed(`602401143452.dkr.ecr.eu-west-1.amazonaws.com.evil.example/a:1`)).toBe(false);
  });
});
