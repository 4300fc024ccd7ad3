/** For *.test.ts files only: clients whose services are servers of this process. */
import { vi } from 'vitest';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import { type Aws, type AwsOptions, createAws } from './clients.ts';

/**
 * Clients in eu-central-1 with credentials of nobody. They are read from the environment with the first request, so that
 * a test's own `vi.unstubAllEnvs()` has to wait until its requests are made.
 * @param services URLs, by the service's name as `AWS_ENDPOINT_URL_<SERVICE>` has it
 *   (https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html)
 */
export function awsAt(services: Readonly<Record<string, string>>, options: Partial<AwsOptions> = {}): Aws {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wJalrXUtnFEMI');
  for (const [service, url] of Object.entries(services)) vi.stubEnv(`AWS_ENDPOINT_URL_${service}`, url);
  return createAws({ network: directNetwork, region: 'eu-central-1', mask: new SecretMask(), ...options });
}
