import { passing, serviceTask, type State, type States, type Times } from './state-machine-tasks.ts';

const refused = 'DynamoDB.ConditionalCheckFailedException';
// OWNER is a reserved word: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html
const names = { '#owner': 'owner' };
const self = { 'S.$': '$$.Execution.Id' };

/**
 * Runs never overlap. The item `run` of the coordination table names the execution that the turn belongs to, and that
 * execution's own state says whether it still does: so the lock is never released, and a run that was aborted, or that
 * Step Functions ended, cannot leave it behind. Of two that find an ended owner the condition lets one pass.
 * A write whose answer was lost is repeated and finds itself, hence `or owner = self`. No clock is asked.
 */
export function lockStates(next: string, times: Times): States {
  return {
    'Take turn': {
      ...put('attribute_not_exists(#owner) OR #owner = :self', { ':self': self }),
      Catch: [{ ErrorEquals: [refused], ResultPath: '$.error', Next: 'Whose turn' }],
      Next: next,
    },
    'Whose turn': {
      ...serviceTask('dynamodb:getItem', {
        TableName: '${CoordinationTable}',
        Key: { id: { S: 'run' } },
        ConsistentRead: true,
      }),
      ResultSelector: { 'owner.$': '$.Item.owner.S' },
      ResultPath: '$.turn',
      Next: 'Still running',
    },
    'Still running': {
      ...serviceTask('aws-sdk:sfn:describeExecution', { 'ExecutionArn.$': '$.turn.owner' }),
      // One that has just begun may not be known yet ("eventually consistent"), so that it is asked for again:
      // https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
      Retry: [{ ErrorEquals: [unknown], IntervalSeconds: times.retry, BackoffRate: 1, MaxAttempts: 2 }, passing],
      ResultSelector: { 'status.$': '$.Status' },
      ResultPath: '$.owner',
      // Step Functions forgets executions 90 days after their end.
      Catch: [{ ErrorEquals: [unknown], ResultPath: '$.error', Next: 'Take over' }],
      Next: 'Is it running',
    },
    'Is it running': {
      Type: 'Choice',
      Choices: ['RUNNING', 'PENDING_REDRIVE'].map((status) => ({
        ...{ Variable: '$.owner.status', StringEquals: status, Next: 'Skip' },
      })),
      Default: 'Take over',
    },
    'Take over': {
      ...put('#owner = :seen OR #owner = :self', { ':seen': { 'S.$': '$.turn.owner' }, ':self': self }),
      // Another one was quicker, and is the one to be named.
      Catch: [{ ErrorEquals: [refused], ResultPath: '$.error', Next: 'Whose turn' }],
      Next: next,
    },
    Skip: {
      Type: 'Pass',
      Parameters: { state: 'Skipped', 'running.$': '$.turn.owner' },
      Next: 'Skipped',
    },
    Skipped: { Type: 'Succeed' },
  };
}

const unknown = 'Sfn.ExecutionDoesNotExistException';

function put(condition: string, values: Readonly<Record<string, unknown>>): State {
  return {
    ...serviceTask(
      'dynamodb:putItem',
      {
        TableName: '${CoordinationTable}',
        Item: {
          id: { S: 'run' },
          owner: self,
          location: { 'S.$': '$.location' },
        },
        ConditionExpression: condition,
        ExpressionAttributeNames: names,
        ExpressionAttributeValues: values,
      },
      [refused],
    ),
    ResultPath: null,
  };
}
