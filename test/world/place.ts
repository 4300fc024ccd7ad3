/** Where an AWS account is: region and partition, and the names of its services there. */
export interface Place {
  readonly region: string;
  readonly partition: string;
  /** What AWS's host names end with there. */
  readonly suffix: string;
}

export const account = '123456789012';

export const places = {
  ireland: { region: 'eu-west-1', partition: 'aws', suffix: 'amazonaws.com' },
  govCloud: { region: 'us-gov-west-1', partition: 'aws-us-gov', suffix: 'amazonaws.com' },
  china: { region: 'cn-north-1', partition: 'aws-cn', suffix: 'amazonaws.com.cn' },
  isolated: { region: 'us-iso-east-1', partition: 'aws-iso', suffix: 'c2s.ic.gov' },
} as const satisfies Record<string, Place>;

/** Host names of an account's services, as the AWS service endpoints reference lists them. */
export function serviceNames({ region, suffix }: Place) {
  const at = `${region}.${suffix}`;
  return {
    registry: `${account}.dkr.ecr.${at}`,
    /** The object store that ECR redirects layer downloads to. */
    layers: `prod-${region}-starport-layer-bucket.s3.${at}`,
    ecr: `api.ecr.${at}`,
    s3: `s3.${at}`,
    sts: `sts.${at}`,
    secretsManager: `secretsmanager.${at}`,
  } as const;
}
