/** A private ECR registry, read from its host name. */
export interface EcrHost {
  readonly accountId: string;
  readonly region: string;
}

/**
 * Suffixes under which AWS serves private registries: standard and GovCloud, China, European Sovereign Cloud, the
 * isolated partitions, and their dual-stack forms. Only for deciding whether a source may be given an ECR token: the
 * target's host always comes from ECR's own answer.
 */
const suffixes = [
  'amazonaws.com',
  'amazonaws.com.cn',
  'amazonaws.eu',
  'c2s.ic.gov',
  'sc2s.sgov.gov',
  'cloud.adc-e.uk',
  'csp.hci.ic.gov',
  'on.aws',
  'on.amazonwebservices.com.cn',
  'on.amazonwebservices.eu',
];

/**
 * Account and region of hosts such as `123456789012.dkr.ecr.us-gov-west-1.amazonaws.com`, FIPS (`dkr.ecr-fips`) and
 * dual-stack (`dkr-ecr.REGION.on.aws`) ones included; `undefined` for any other host.
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html
 */
export function parseEcrHost(host: string): EcrHost | undefined {
  const match = /^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.([a-z0-9.-]+?)(?::443)?$/.exec(host.toLowerCase());
  const [, accountId, region, suffix] = match ?? [];
  if (accountId === undefined || region === undefined || suffix === undefined || !suffixes.includes(suffix))
    return undefined;
  return { accountId, region };
}
