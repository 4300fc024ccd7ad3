import type { Aws } from './clients.ts';

/** Topic that is made for an e-mail address when no topic is given. */
const defaultTopic = 'image-replication-alarm';

/** SNS takes ASCII subjects of up to 100 characters, and messages of up to 256 KiB (API_Publish.html). */
const subjectLength = 100;
const messageBytes = 256 * 1024;

export interface Alarm {
  readonly topic: string;
  /** The address has not confirmed its subscription yet, and gets nothing until it does. */
  readonly unconfirmed: boolean;
}

/**
 * Makes sure of the topic, and that the address is subscribed to it. Idempotent: CreateTopic gives an existing topic's ARN,
 * and an address that is subscribed, confirmed or not, is not subscribed again.
 * https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
 */
export async function prepareAlarm(
  aws: Aws,
  wanted: { readonly topic: string | undefined; readonly email: string | undefined },
  signal: AbortSignal,
): Promise<Alarm | undefined> {
  const { email } = wanted;
  if (wanted.topic === undefined && email === undefined) return undefined;
  const topic = wanted.topic ?? (await createTopic(aws, signal));
  if (email === undefined) return { topic, unconfirmed: false };
  const subscription = await subscriptionOf(aws, topic, email, signal);
  if (subscription !== undefined) return { topic, unconfirmed: subscription === 'PendingConfirmation' };
  const sns = await aws.sns(regionOf(topic));
  await sns.subscribe({ TopicArn: topic, Protocol: 'email', Endpoint: email }, { abortSignal: signal });
  return { topic, unconfirmed: true };
}

/** Sends a message to the topic; what is too long is cut. */
export async function sendAlarm(
  aws: Aws,
  topic: string,
  alarm: { readonly subject: string; readonly message: string },
  signal: AbortSignal,
): Promise<void> {
  const Subject = alarm.subject.replace(/[^\x20-\x7e]+/g, ' ').slice(0, subjectLength);
  const Message = Buffer.from(alarm.message)
    .subarray(0, messageBytes)
    .toString('utf8')
    .replace(/\uFFFD$/, '');
  const sns = await aws.sns(regionOf(topic));
  await sns.publish({ TopicArn: topic, Subject, Message }, { abortSignal: signal });
}

async function createTopic(aws: Aws, signal: AbortSignal): Promise<string> {
  const sns = await aws.sns();
  const { TopicArn } = await sns.createTopic({ Name: defaultTopic }, { abortSignal: signal });
  return TopicArn ?? '';
}

/** ARN of the address's subscription, or `PendingConfirmation`. */
async function subscriptionOf(
  aws: Aws,
  topic: string,
  email: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const sns = await aws.sns(regionOf(topic));
  let NextToken: string | undefined;
  do {
    const answer = await sns.listSubscriptionsByTopic({ TopicArn: topic, NextToken }, { abortSignal: signal });
    const found = answer.Subscriptions?.find((each) => each.Protocol === 'email' && each.Endpoint === email);
    if (found !== undefined) return found.SubscriptionArn ?? '';
    NextToken = answer.NextToken;
  } while (NextToken !== undefined);
  return undefined;
}

function regionOf(topicArn: string): string | undefined {
  return topicArn.split(':')[3];
}
