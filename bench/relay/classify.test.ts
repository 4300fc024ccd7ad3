import { describe, expect, it } from 'vitest';
import { classify, withoutMount } from './classify.ts';

const digest = `sha256:${'a'.repeat(64)}`;

describe('classification of requests', () => {
  it.each([
    ['GET', '/v2/', 'ping'],
    ['HEAD', '/v2/a/manifests/1.0', 'manifest-head'],
    ['GET', `/v2/a/b/c/manifests/${digest}`, 'manifest-get'],
    ['PUT', '/v2/a/manifests/1.0', 'manifest-put'],
    ['DELETE', '/v2/a/manifests/1.0', 'other'],
    ['HEAD', `/v2/a/blobs/${digest}`, 'blob-head'],
    ['GET', `/v2/a/blobs/${digest}`, 'blob-get'],
    ['POST', `/v2/a/blobs/uploads/?mount=${digest}&from=b`, 'mount'],
    ['POST', `/v2/a/blobs/uploads/?from=b%2Fc&mount=${digest}`, 'mount'],
    ['POST', '/v2/a/blobs/uploads/', 'upload-start'],
    ['POST', `/v2/a/blobs/uploads/?digest=${digest}`, 'upload-start'],
    ['PATCH', '/v2/a/blobs/uploads/1234?_state=x', 'upload-patch'],
    ['PUT', `/v2/a/blobs/uploads/1234?_state=x&digest=${digest}`, 'upload-put'],
    ['DELETE', '/v2/a/blobs/uploads/1234', 'upload-other'],
    ['GET', '/v2/a/tags/list?n=100', 'tags'],
    ['GET', `/v2/a/referrers/${digest}`, 'referrers'],
    // A repository may be called as the specification's own words are.
    ['GET', '/v2/blobs/uploads/manifests/1.0', 'manifest-get'],
    ['GET', '/v2/_catalog', 'other'],
    ['GET', '/', 'other'],
  ])('%s %s: %s', (method, target, kind) => {
    expect(classify(method, target)).toBe(kind);
  });

  it('takes the wish to mount out of a request, and nothing else', () => {
    expect(withoutMount(`/v2/a/blobs/uploads/?mount=${digest}&from=b`)).toBe('/v2/a/blobs/uploads/');
    expect(withoutMount(`/v2/a/blobs/uploads/?x=1&mount=${digest}&from=b&y=from`)).toBe(
      '/v2/a/blobs/uploads/?x=1&y=from',
    );
  });
});
