// Runs as the stack's custom resource: CloudFormation cannot delete a bucket that holds objects, so they are deleted just
// before. CommonJS, and below 4 KiB, because it lies in the template:
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
const { S3Client, ListObjectVersionsCommand, DeleteObjectsCommand } = require('@aws-sdk/client-s3');

async function empty(Bucket) {
  const s3 = new S3Client({});
  for (;;) {
    const { Versions = [], DeleteMarkers = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket }));
    const Objects = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => ({ Key, VersionId }));
    if (Objects.length === 0) return;
    const { Errors = [] } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
    if (Errors.length > 0) throw new Error(`${Errors[0].Key}: ${Errors[0].Message}`);
  }
}

exports.handler = async (event) => {
  const { Bucket } = event.ResourceProperties;
  const answer = {
    Status: 'SUCCESS',
    PhysicalResourceId: Bucket,
    StackId: event.StackId,
    RequestId: event.RequestId,
    LogicalResourceId: event.LogicalResourceId,
  };
  try {
    if (event.RequestType === 'Delete') await empty(Bucket);
  } catch (error) {
    if (error.name !== 'NoSuchBucket') Object.assign(answer, { Status: 'FAILED', Reason: String(error) });
  }
  const sent = await globalThis.fetch(event.ResponseURL, { method: 'PUT', body: JSON.stringify(answer) });
  if (!sent.ok) throw new Error(`CloudFormation answered ${sent.status}`);
};
