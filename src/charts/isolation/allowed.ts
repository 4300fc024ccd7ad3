import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { locate, parseReference } from '../../model/reference.ts';

/**
 * Accounts whose registries hold the images of EKS add-ons, one or a few per region.
 * @see https://docs.aws.amazon.com/eks/latest/userguide/add-ons-images.html
 */
const addonAccounts = new Set([
  '602401143452',
  '877085696533',
  '800184023465',
  '900889452093',
  '491585149902',
  '151610086707',
  '730335286997',
  '296578399912',
  '590381155156',
  '455263428931',
  '066635153087',
  '558608220178',
  '759879836304',
  '761377655185',
  '918309763551',
  '961992271922',
  '013241004608',
  '151742754352',
  '900612956339',
  '121268973566',
  '533267051163',
  '333609536671',
]);

/** The word in AllowedRegistries that stands for the add-on registries of the region. */
const eksAddons = 'EKS_ADDONS';

/**
 * Tells which references lead to a host that the cluster can reach without us.
 * @param hosts hosts with port, or `EKS_ADDONS` for the AWS-owned add-on registries of the region
 * @throws ReplicationError `configuration` for what is no host
 */
export function allowedRegistries(hosts: readonly string[], region: string): (reference: string) => boolean {
  const wrong = hosts.find((host) => host !== eksAddons && !/^[a-z0-9.-]+(?::\d+)?$/i.test(host));
  if (wrong !== undefined) {
    throw new ReplicationError('configuration', `the parameter AllowedRegistries names "${wrong}", which is no host`, {
      remedy: `write hosts as references have them, such as registry.example.com:5000, or ${eksAddons}`,
    });
  }
  const names = new Set(hosts.map((host) => (host === eksAddons ? host : host.toLowerCase())));
  return (reference) => {
    const host = hostOf(reference);
    if (host === undefined) return false;
    return names.has(host) || (names.has(eksAddons) && isAddonRegistry(host, region));
  };
}

function isAddonRegistry(host: string, region: string): boolean {
  const [, account = '', where] =
    /^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$/.exec(host) ?? [];
  return addonAccounts.has(account) && where === region;
}

function hostOf(reference: string): string | undefined {
  try {
    return locate(parseReference(reference)).registry;
  } catch (error) {
    if (isReplicationError(error)) return undefined;
    throw error;
  }
}
