import { runDefinitionString, type Substitution } from '../../deploy/aws/state-machine.ts';
import type { Times } from '../../deploy/aws/state-machine-tasks.ts';
import { accountId } from '../seedfarmer/account.ts';
import { bucket, coordinationTable, region, topic } from './account.ts';

const taskDefinition = (kind: string): string => `replication-${kind}`;

const usual: Readonly<Record<Substitution, string>> = {
  Partition: 'aws',
  ClusterArn: `arn:aws:ecs:${region}:${accountId}:cluster/replication`,
  PlanTaskDefinition: taskDefinition('plan'),
  WorkerTaskDefinition: taskDefinition('worker'),
  SummaryTaskDefinition: taskDefinition('summary'),
  FinishTaskDefinition: taskDefinition('finish'),
  SubnetA: 'subnet-a',
  SubnetB: 'subnet-b',
  SecurityGroup: 'sg-1',
  AssignPublicIp: 'DISABLED',
  CoordinationTable: coordinationTable,
  TopicArn: topic,
  Bucket: bucket,
  MaxConcurrency: '4',
  Retries: '2',
  PlanCommand: '[]',
  FinishCommand: '[]',
};

/**
 * The definition with these values put in, as CloudFormation's Fn::Sub does.
 * @param times nobody wants to wait five minutes for a lost heartbeat
 */
export function definition(values: Partial<Record<Substitution, string>>, times: Times): string {
  const all: Readonly<Record<string, string>> = { ...usual, ...values };
  return runDefinitionString(times).replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = all[name];
    if (value === undefined) throw new Error(`the definition has a \${${name}} that nothing is put in for`);
    return value;
  });
}
