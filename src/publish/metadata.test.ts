import { expect, it } from 'vitest';
import { resultMetadata } from './metadata.ts';

it('the metadata names the object in both spellings', () => {
  expect(resultMetadata('b', 'o.json')).toEqual({
    S3Bucket: 'b',
    S3Object: 'o.json',
    S3FullPath: 'b/o.json',
    s3_bucket: 'b',
    s3_object: 'o.json',
    s3_full_path: 'b/o.json',
  });
});
