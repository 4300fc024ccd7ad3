import { describe, expect, it } from 'vitest';
import { directNetwork } from '../model/network.ts';
import { checkRealm } from './realm.ts';

const trusted = (realm: string, registry: string): boolean =>
  checkRealm(realm, new URL(registry), directNetwork).trusted;

describe('a token server', () => {
  it.each([
    ['https://auth.docker.io/token', 'https://registry-1.docker.io'],
    ['https://ghcr.io/token', 'https://ghcr.io'],
    ['https://gitlab.com/jwt/auth', 'https://registry.gitlab.com'],
    ['https://authn.nvidia.com/token', 'https://nvcr.io'],
    ['https://acct.azurecr.io/oauth2/token', 'https://acct.azurecr.io'],
    ['https://auth.corp.example.co.uk/token', 'https://registry.corp.example.co.uk'],
    ['http://127.0.0.1:2/token', 'http://127.0.0.1:1'],
    ['https://example.org/token', 'https://registry.example.org'],
    ['https://mine.fly.dev/token', 'https://mine.fly.dev'],
    ['https://1.execute-api.eu-west-1.amazonaws.com/t', 'https://1.execute-api.eu-west-1.amazonaws.com'],
    ['https://203.0.113.7:5001/token', 'https://203.0.113.7:5000'],
  ])('%s belongs to %s', (realm, registry) => expect(trusted(realm, registry)).toBe(true));

  it.each([
    ['https://evil.example/token', 'https://quay.io'],
    ['https://evil.azurecr.io/oauth2/token', 'https://acct.azurecr.io'],
    ['https://evil.co.uk/token', 'https://registry.co.uk'],
    ['https://notdocker.io/token', 'https://registry-1.docker.io'],
    ['https://evil.com/token', 'https://registry.com'],
    ['https://evil.com./token', 'https://registry.com.'],
    ['https://evil.asso.fr/token', 'https://registry.asso.fr'],
    ['https://203.0.113.7/token', 'https://198.51.113.7'],
    ['https://dkr.ecr.cn-north-1.amazonaws.com.cn/', 'https://1.dkr.ecr.cn-north-1.amazonaws.com.cn'],
    ['https://evil.execute-api.eu-west-1.amazonaws.com/t', 'https://mine.execute-api.eu-west-1.amazonaws.com'],
    ['https://execute-api.eu-west-1.amazonaws.com/t', 'https://mine.execute-api.eu-west-1.amazonaws.com'],
    ['https://evil.mine.fly.dev/token', 'https://mine.fly.dev'],
    ...[
      'amazonaws.com.cn',
      'azurewebsites.net',
      'cloudapp.azure.com',
      'cloudfront.net',
      'eu.ngrok.io',
      'fly.dev',
      'github.io',
      'herokuapp.com',
      'ngrok-free.app',
      'run.app',
      'vercel.app',
      'web.app',
      'westeurope.cloudapp.azure.com',
    ].map((suffix) => [`https://evil.${suffix}/token`, `https://mine.${suffix}`] as [string, string]),
  ])('%s is foreign to %s', (realm, registry) => expect(trusted(realm, registry)).toBe(false));

  it.each([
    ['http://quay.io/token', 'https://quay.io'],
    ['https://user:password@quay.io/token', 'https://quay.io'],
    ['https://169.254.169.254/latest', 'https://quay.io'],
    ['https://localhost/token', 'https://quay.io'],
    ['http://127.0.0.1/token', 'https://quay.io'],
    ['file:///etc/passwd', 'https://quay.io'],
    ['nonsense', 'https://quay.io'],
  ])('%s is refused for %s', (realm, registry) => {
    expect(() => trusted(realm, registry)).toThrow(expect.objectContaining({ code: 'refused' }));
  });
});
