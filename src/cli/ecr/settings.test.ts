import { describe, expect, it } from 'vitest';
import { ReplicationErrors } from '../../model/errors.ts';
import { type EcrOptions, ecrSettings } from './settings.ts';

const regions: EcrOptions = { out: 'out', srcRegion: 'eu-west-1', destRegion: 'cn-northwest-1' };
const settings = (options: Partial<EcrOptions>) => ecrSettings({ ...regions, ...options });

describe('the options of ecr', () => {
  it('have the defaults of the document', () => {
    expect(settings({})).toMatchObject({
      source: {
        type: 'Amazon_ECR',
        place: { region: 'eu-west-1', account: undefined, access: { kind: 'default' } },
      },
      chosen: { kind: 'all' },
      destination: { region: 'cn-northwest-1', account: undefined, access: { kind: 'default' } },
      prefix: '',
      once: false,
      prune: false,
      platforms: 'all',
      store: { kind: 'sqlite', path: 'out/status.db' },
      ignored: [],
    });
  });

  it('take words in any case, and a list or the parameter that holds it', () => {
    const chosen = settings({ sourceType: 'amazon_ecr', srcList: 'selected', srcImageParameter: '/drh/list' });
    expect(chosen.chosen).toEqual({ kind: 'parameter', name: '/drh/list' });
    expect(settings({ srcList: 'SELECTED', srcImageList: 'a' }).chosen).toEqual({ kind: 'list', text: 'a' });
  });

  it('say what they ignore', () => {
    expect(settings({ srcImageList: 'a' }).ignored).toEqual(['--src-image-list is ignored: --src-list is ALL']);
    const list = { srcList: 'SELECTED', srcImageList: 'a' };
    expect(settings({ ...list, sourceType: 'Public', srcCredential: 'drh-credentials' }).ignored).toEqual([
      '--src-region is ignored: --source-type is Public',
      '--src-credential is ignored: --source-type is Public',
    ]);
    expect(settings({ ...list, sourceType: 'Private', srcCredential: 'p' }).source).toEqual({
      type: 'Private',
      login: 'p',
    });
  });

  it.each<readonly [string, Partial<EcrOptions>]>([
    ['--source-type ECR is not known', { sourceType: 'ECR' }],
    ['--src-list SOME is not known', { srcList: 'SOME' }],
    ['--src-list SELECTED names no images', { srcList: 'SELECTED' }],
    ['--src-image-list and --src-image-parameter', { srcList: 'SELECTED', srcImageList: 'a', srcImageParameter: 'b' }],
    ['--src-list ALL cannot be had from a Public source', { sourceType: 'Public' }],
    ['--src-region eu-west is no AWS region', { srcRegion: 'eu-west' }],
    ['--dest-account 123 is no AWS account id', { destAccount: '123' }],
    ['--src-credential and --src-role', { srcCredential: 'a', srcRole: 'arn:aws:iam::123456789012:role/r' }],
    ['--dest-role admin is no role', { destRole: 'admin' }],
    ['is no prefix', { destPrefix: '-x' }],
    ['"oci-layout" is no target', { target: 'oci-layout' }],
    ['"file.db" is no place for the status', { statusStore: 'file.db' }],
    ['--alarm-email ops is no address', { alarmEmail: 'ops' }],
    ['--alarm-topic drh is no topic', { alarmTopic: 'drh' }],
    ['--prune needs a registry of Amazon ECR', { prune: true, target: 'oci-layout:x' }],
    ['is not a platform', { platforms: 'amd64' }],
  ])('are refused: %s', (message, options) => {
    expect(() => settings(options)).toThrow(message);
  });

  it('are refused all at once', () => {
    const thrown = (): unknown => {
      try {
        return ecrSettings({ out: 'out', tries: 3, alarmEmail: 'x' });
      } catch (error) {
        return error;
      }
    };
    const error = thrown();
    expect(error).toBeInstanceOf(ReplicationErrors);
    expect(String(error)).toMatch(/--src-region is missing[\s\S]*--dest-region is missing[\s\S]*--alarm-email/);
  });
});
