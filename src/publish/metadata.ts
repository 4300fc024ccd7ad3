/** The module's metadata: where the result is, under the names of the original module, old spelling included. */
export function resultMetadata(bucket: string, object: string): Readonly<Record<string, string>> {
  const path = `${bucket}/${object}`;
  return {
    S3Bucket: bucket,
    S3Object: object,
    S3FullPath: path,
    s3_bucket: bucket,
    s3_object: object,
    s3_full_path: path,
  };
}
