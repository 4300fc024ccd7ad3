import { type CfnResource, Fn, type Stack } from 'aws-cdk-lib';
import { CfnRule } from 'aws-cdk-lib/aws-events';
import { CfnSchedule } from 'aws-cdk-lib/aws-scheduler';
import type { CfnStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { type Condition, ref } from './expressions.ts';
import { policy, role } from './roles.ts';

/**
 * What starts runs: the schedule, and every deployment. Right after the first one both do, since a schedule by rate begins
 * at once; the second start finds the first one running and ends as skipped.
 * https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#rate-based
 * The schedule comes last, so that no run has begun when something else of the stack cannot be made.
 * @param ready made when all is there that a run needs whatever the parameters say: DependsOn cannot name the rest, which
 *   needs nothing but the roles and so is long there
 */
export function triggers(stack: Stack, machine: CfnStateMachine, ready: CfnResource): void {
  const scheduler = starter(stack, 'ScheduleRole', 'scheduler.amazonaws.com', machine, 'IsScheduled');
  const schedule = new CfnSchedule(stack, 'Schedule', {
    description: Fn.sub('Runs of ${AWS::StackName}'),
    scheduleExpression: ref('schedule'),
    scheduleExpressionTimezone: ref('scheduleTimezone'),
    flexibleTimeWindow: { mode: 'OFF' },
    target: {
      arn: machine.ref,
      roleArn: scheduler.roleArn,
      input: '{}',
      // A start that is an hour late is none: the next one is due.
      retryPolicy: { maximumRetryAttempts: 20, maximumEventAgeInSeconds: 3600 },
    },
  });
  schedule.addOverride('Condition', 'IsScheduled');
  const deployed = starter(stack, 'DeploymentRole', 'events.amazonaws.com', machine);
  const rule = new CfnRule(stack, 'AfterDeployment', {
    description: Fn.sub('A run of ${AWS::StackName} whenever it was deployed'),
    // https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/event-detail-stack-status-change.html
    eventPattern: {
      source: ['aws.cloudformation'],
      'detail-type': ['CloudFormation Stack Status Change'],
      detail: {
        'stack-id': [Fn.ref('AWS::StackId')],
        'status-details': { status: ['CREATE_COMPLETE', 'UPDATE_COMPLETE'] },
      },
    },
    targets: [
      {
        id: 'run',
        arn: machine.ref,
        roleArn: deployed.roleArn,
        input: '{}',
        retryPolicy: { maximumRetryAttempts: 20, maximumEventAgeInSeconds: 3600 },
      },
    ],
  });
  for (const each of [ready, deployed.grants]) rule.addResourceDependency(each);
  for (const each of [ready, scheduler.grants, rule]) schedule.addResourceDependency(each);
}

/** A role that may start the machine, and nothing else. */
function starter(stack: Stack, id: string, service: string, machine: CfnStateMachine, condition?: Condition) {
  const made = role(stack, id, service, 'Starts runs');
  if (condition !== undefined) made.addOverride('Condition', condition);
  const grants = policy(
    stack,
    `${id.replace(/Role$/, '')}Policy`,
    [made],
    [{ Sid: 'Start', Action: ['states:StartExecution'], Resource: machine.ref }],
    condition,
  );
  return { roleArn: made.attrArn, grants };
}
