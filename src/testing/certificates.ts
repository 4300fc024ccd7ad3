// @peculiar/x509 loads tsyringe, which wants this polyfill to be there first.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { TlsFiles } from './http-host.ts';

/** A certificate authority of a test's own. */
export interface CertificateAuthority {
  /** PEM of its certificate: what clients are told to trust. */
  readonly certificate: string;
  /** A key and a certificate for a server. Hosts are names, `*.` wildcards or IP addresses, without port. */
  issue(hosts: readonly string[], options?: { readonly notAfter?: Date | undefined }): Promise<TlsFiles>;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 24 * 60 * 60 * 1000;

/** Makes a new authority; nothing of it is kept anywhere. */
export async function createAuthority(name = 'Test CA'): Promise<CertificateAuthority> {
  const { subtle } = webcrypto;
  const keys = await subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const authority = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 30 * day),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  let serial = 1;
  return {
    certificate: authority.toString('pem'),
    async issue(hosts, options = {}) {
      serial += 1;
      const serverKeys = await subtle.generateKey(algorithm, true, ['sign', 'verify']);
      const names: JsonGeneralNames = hosts.map((host) => ({ type: isIP(host) === 0 ? 'dns' : 'ip', value: host }));
      const certificate = await X509CertificateGenerator.create({
        serialNumber: serial.toString(16).padStart(2, '0'),
        subject: `CN=${hosts[0] ?? 'server'}`,
        issuer: authority.subject,
        notBefore: new Date(Date.now() - day),
        notAfter: options.notAfter ?? new Date(Date.now() + 30 * day),
        signingAlgorithm: algorithm,
        publicKey: serverKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new SubjectAlternativeNameExtension(names),
          new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        ],
      });
      const key = await subtle.exportKey('pkcs8', serverKeys.privateKey);
      return {
        key: PemConverter.encode(key, PemConverter.PrivateKeyTag),
        cert: `${certificate.toString('pem')}\n${authority.toString('pem')}`,
      };
    },
  };
}
