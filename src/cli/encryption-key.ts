import { ReplicationError } from '../model/errors.ts';

const words = ['AES256', 'KMS'];

/**
 * Key identifiers as KMS takes them; multi-region keys begin with `mrk-`.
 * @see https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html#API_DescribeKey_RequestParameters
 */
const keyId = '(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})';
const alias = 'alias/[A-Za-z0-9/_-]+';
const keyPattern = new RegExp(
  `^(?:${keyId}|${alias}|arn:aws[a-z-]*:kms:[a-z0-9-]+:\\d{12}:(?:key/${keyId}|${alias}))$`,
);

/**
 * Checks the parameter EncryptionKey: `AES256`, `KMS`, or a key's id, ARN, alias or alias ARN.
 * @throws ReplicationError `configuration`, for `kms` too: modulestack.yaml gets the same text, and CloudFormation compares
 * with case (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html)
 */
export function parseEncryptionKey(text: string): string {
  if (words.includes(text) || keyPattern.test(text)) return text;
  const word = words.find((each) => each === text.toUpperCase());
  throw new ReplicationError('configuration', `the parameter EncryptionKey is "${text}"`, {
    remedy:
      word === undefined
        ? "set it to AES256, KMS, a KMS key's id or ARN, or an alias as alias/… or as ARN"
        : `write it as ${word}`,
  });
}
