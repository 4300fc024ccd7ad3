import { CfnDeletionPolicy, Fn, type Stack } from 'aws-cdk-lib';
import { CfnAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import { CfnKey } from 'aws-cdk-lib/aws-kms';
import { CfnSubscription, CfnTopic, CfnTopicPolicy } from 'aws-cdk-lib/aws-sns';
import type { CfnStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { arn, number, ref } from './expressions.ts';
import { metricNamespace } from './state-machine.ts';

/** Where tasks log, and what removes the stack. */
export const logGroupName = '/image-replication/${AWS::StackName}';
export const removalLogGroupName = `${logGroupName}/removal`;

/**
 * The key of topic and logs. A key of the stack's own, since the one that AWS manages for SNS does not let CloudWatch in,
 * whose alarms would never arrive. https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
 * Bucket and tables do without: with S3's and DynamoDB's own keys the tasks need no rights on a key, and no endpoint of KMS.
 */
export function encryptionKey(stack: Stack): CfnKey {
  const allow = (Sid: string, Principal: unknown, Action: unknown, Condition?: unknown) => ({
    Sid,
    Effect: 'Allow',
    Principal,
    Action,
    // In the policy of a key this is the key itself.
    Resource: '*',
    ...(Condition === undefined ? {} : { Condition }),
  });
  const key = new CfnKey(stack, 'Key', {
    description: Fn.sub('Topic and logs of ${AWS::StackName}'),
    enableKeyRotation: true,
    pendingWindowInDays: 7,
    keyPolicy: {
      Version: '2012-10-17',
      Statement: [
        allow('Account', { AWS: arn('iam::${AWS::AccountId}:root') }, 'kms:*'),
        allow(
          'Logs',
          { Service: Fn.sub('logs.${AWS::Region}.${AWS::URLSuffix}') },
          ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey*', 'kms:ReEncrypt*'],
          {
            ArnEquals: {
              'kms:EncryptionContext:aws:logs:arn': [logGroupName, removalLogGroupName].map((name) =>
                arn(`logs:\${AWS::Region}:\${AWS::AccountId}:log-group:${name}`),
              ),
            },
          },
        ),
        allow('Alarms', { Service: 'cloudwatch.amazonaws.com' }, ['kms:Decrypt', 'kms:GenerateDataKey*'], {
          StringEquals: { 'aws:SourceAccount': Fn.ref('AWS::AccountId') },
        }),
      ],
    },
  });
  key.cfnOptions.deletionPolicy = CfnDeletionPolicy.DELETE;
  return key;
}

export function alarmTopic(stack: Stack, key: CfnKey): CfnTopic {
  const topic = new CfnTopic(stack, 'AlarmTopic', {
    displayName: 'Image replication',
    kmsMasterKeyId: key.ref,
  });
  new CfnTopicPolicy(stack, 'AlarmTopicPolicy', {
    topics: [topic.ref],
    policyDocument: {
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'Alarms',
          Effect: 'Allow',
          Principal: { Service: 'cloudwatch.amazonaws.com' },
          Action: 'sns:Publish',
          Resource: topic.ref,
          Condition: { StringEquals: { 'aws:SourceAccount': Fn.ref('AWS::AccountId') } },
        },
        {
          Sid: 'TlsOnly',
          Effect: 'Deny',
          Principal: '*',
          Action: 'sns:Publish',
          Resource: topic.ref,
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        },
      ],
    },
  });
  const subscription = new CfnSubscription(stack, 'AlarmSubscription', {
    topicArn: topic.ref,
    protocol: 'email',
    endpoint: ref('alarmEmail'),
  });
  subscription.addOverride('Condition', 'HasEmail');
  return topic;
}

/**
 * Runs that do not happen fail silently, whatever the reason; so does a mail that the state machine could not send. Hours
 * without data count as hours without success.
 */
export function missingSuccessAlarm(stack: Stack, topic: CfnTopic, machine: CfnStateMachine): void {
  const alarm = new CfnAlarm(stack, 'NoSuccessAlarm', {
    alarmDescription: Fn.sub('No run of ${AWS::StackName} has succeeded for ${alarmAfterHours} hours'),
    namespace: metricNamespace,
    metricName: 'Succeeded',
    dimensions: [{ name: 'StateMachine', value: machine.attrName }],
    statistic: 'Sum',
    period: 3600,
    evaluationPeriods: number('alarmAfterHours'),
    comparisonOperator: 'LessThanThreshold',
    threshold: 1,
    treatMissingData: 'breaching',
    alarmActions: [topic.ref],
    okActions: [topic.ref],
  });
  alarm.addOverride('Condition', 'IsRepeated');
}
