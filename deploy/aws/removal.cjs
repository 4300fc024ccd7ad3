// Runs as the stack's custom resource, when the stack is deleted and before anything that a run uses: Step Functions keeps a
// state machine for as long as it has an execution, tasks hold their security group and fill the bucket, and CloudFormation
// deletes empty buckets only. https://repost.aws/knowledge-center/step-functions-stuck-deleting-status
// CommonJS, and below 4 KiB, because it lies in the template:
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
const { S3Client, ListObjectVersionsCommand, DeleteObjectsCommand } = require('@aws-sdk/client-s3');
const { SFNClient, ListExecutionsCommand, StopExecutionCommand } = require('@aws-sdk/client-sfn');
const { setTimeout: pause } = require('node:timers/promises');

// The children of a map end with their parent. Tasks learn it by their next heartbeat, and end by themselves.
async function stopRuns(stateMachineArn, seconds) {
  const sfn = new SFNClient({});
  const list = async (statusFilter) => {
    const { executions = [] } = await sfn.send(new ListExecutionsCommand({ stateMachineArn, statusFilter }));
    return executions;
  };
  for (let running = await list('RUNNING'); running.length > 0; running = await list('RUNNING')) {
    for (const { executionArn } of running)
      await sfn.send(new StopExecutionCommand({ executionArn, cause: 'the stack is deleted' }));
    await pause(1000);
  }
  const broken = (await list()).filter(({ status, stopDate }) => status !== 'SUCCEEDED' && stopDate);
  const left = Math.max(0, ...broken.map(({ stopDate }) => stopDate.getTime())) + seconds * 1000 - Date.now();
  if (left > 0) await pause(left);
}

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

async function unlessGone(name, work) {
  try {
    await work;
  } catch (error) {
    if (error.name !== name) throw error;
  }
}

exports.handler = async (event) => {
  const { Bucket, StateMachine, TasksEndSeconds } = event.ResourceProperties;
  const answer = {
    Status: 'SUCCESS',
    PhysicalResourceId: Bucket,
    StackId: event.StackId,
    RequestId: event.RequestId,
    LogicalResourceId: event.LogicalResourceId,
  };
  try {
    if (event.RequestType === 'Delete') {
      await unlessGone('StateMachineDoesNotExist', stopRuns(StateMachine, Number(TasksEndSeconds)));
      await unlessGone('NoSuchBucket', empty(Bucket));
    }
  } catch (error) {
    Object.assign(answer, { Status: 'FAILED', Reason: String(error) });
  }
  const sent = await globalThis.fetch(event.ResponseURL, { method: 'PUT', body: JSON.stringify(answer) });
  if (!sent.ok) throw new Error(`CloudFormation answered ${sent.status}`);
};
