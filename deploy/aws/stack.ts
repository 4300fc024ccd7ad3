import { CfnOutput, DefaultStackSynthesizer, Fn, type IStackSynthesizer, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { declareConditions } from './expressions.ts';
import { machine } from './machine.ts';
import { alarmTopic, encryptionKey, missingSuccessAlarm } from './notices.ts';
import { declareRules } from './parameter-rules.ts';
import { declareParameters } from './parameters.ts';
import { removal } from './removal.ts';
import { storage } from './storage.ts';
import { tasks } from './tasks.ts';
import { triggers } from './triggers.ts';

/**
 * Replication by itself, on a schedule, over many workers: EventBridge Scheduler starts a state machine, which has one
 * Fargate task plan, one for each shard copy, and one sum up. Cluster, VPC and subnets are there already.
 */
export function replicationStack(scope: Construct): Stack {
  const stack = new Stack(scope, 'ImageReplication', {
    description: 'Replicates container images into Amazon ECR, on a schedule, with Step Functions and Fargate',
    // There are no assets, so no bootstrap stack is needed, nor a rule that looks for one.
    // `as`: the CDK's own types do not fit each other under exactOptionalPropertyTypes.
    synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }) as IStackSynthesizer,
  });
  declareParameters(stack);
  declareConditions(stack);
  declareRules(stack);
  const key = encryptionKey(stack);
  const topic = alarmTopic(stack, key);
  const kept = storage(stack);
  const run = tasks(stack, key);
  const { made, ready } = machine(stack, { storage: kept, tasks: run, topic, key });
  missingSuccessAlarm(stack, topic, made);
  const removed = removal(stack, key, { machine: made, bucket: kept.bucket, ready: [ready, ...run.policies] });
  triggers(stack, made, removed);
  outputs(stack);
  return stack;
}

function outputs(stack: Stack): void {
  const output = (id: string, description: string, value: string): CfnOutput =>
    new CfnOutput(stack, id, { description, value });
  output('StateMachineArn', 'For image-replication runs --state-machine', Fn.ref('StateMachine'));
  output('RunsLocation', 'Plans, shards and reports', Fn.sub('s3://${RunsBucket}/runs/'));
  output('StatusStore', 'For image-replication status --store', Fn.sub('dynamodb:${StatusTable}'));
  output('LogGroup', 'Logs of all tasks', Fn.ref('Logs'));
  output('AlarmTopicArn', 'Failures are told here', Fn.ref('AlarmTopic'));
}
