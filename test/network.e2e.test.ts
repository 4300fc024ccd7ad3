import { readdir, readFile, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { createAuthority } from '../src/testing/certificates.ts';
import { buildImage } from '../src/testing/image-builder.ts';
import { startRegistryServer } from '../src/testing/registry-server.ts';
import { spawnProgram } from './program.ts';
import { onceUnlessRetried } from './story.ts';
import { describeWith } from './tools.ts';
import { connectionsIn, recordingConnections } from './world/connections.ts';
import { type HelmDistro, startHelmDistro } from './world/helm-distro.ts';
import { account, type Place, places } from './world/place.ts';
import { readResult, readRun, said } from './world/run.ts';
import { startWorld, type World } from './world/world.ts';

// Rendering is no matter here, but for the run that fetches helm.
const quick = ['--no-render'];
const portOf = (host: string): number => Number(host.slice(host.lastIndexOf(':') + 1));

describeWith(['helm3'], 'a network with one way out, a proxy that wants a password', () => {
  const proxyLogin = { username: 'build', password: 'pr0xy/Pa$$+word' };
  const distroLogin = { username: 'robot', password: 'distro-Pa55word' };
  let world: World;
  let distro: HelmDistro;
  let log = '';
  let runs = 0;
  onceUnlessRetried(
    async () => {
      world = await startWorld({ content: 'sample', proxyLogin });
      distro = await startHelmDistro(world, distroLogin);
      world.secrets.set('distro', JSON.stringify(distroLogin));
    },
    async () => {
      await distro.close();
      await world.close();
    },
  );
  beforeEach(() => {
    runs += 1;
    log = join(world.folder, `connections-${runs}`);
  });
  const passed = (): readonly string[] => [...new Set(world.proxy.requests.map(({ target }) => target))].sort();

  it('is left through the proxy by every connection, and the password is told to nobody else', async () => {
    const run = await world.eks({
      env: {
        ...recordingConnections(log),
        SEEDFARMER_PARAMETER_HELM_DISTRO_URL: distro.url,
        SEEDFARMER_PARAMETER_HELM_DISTRO_SECRET_NAME: 'distro',
      },
    });
    expect(run.status, said(run)).toBe(0);
    expect(await connectionsIn(log)).toEqual([world.proxy.host]);
    const { registry, layers, ecr, s3, sts, secretsManager } = world.names;
    const bucket = `app-dkr-img-rep-md-${world.place.region}-${account}.${s3}`;
    const images = ['registry.example.com', 'vault.example.com', 'registry-1.docker.io', 'auth.docker.io'];
    const redirected = ['layers.registry.example.com', 'layers.vault.example.com', 'layers.docker.com'];
    const others = ['charts.example.com', 'helm.example.com', registry, ecr, sts, secretsManager, bucket];
    const expected = [...images, ...redirected, ...others].map((host) => `${host}:443`);
    expect(passed().filter((target) => target !== `${layers}:443`)).toEqual(expected.sort());
    expect(world.proxy.requests.filter(({ method, status }) => method !== 'CONNECT' || status !== 200)).toEqual([]);

    const { username, password } = proxyLogin;
    const left = [run.stdout, run.stderr, ...(await textsBelow(world.folder))].join('\n');
    for (const secret of [password, encodeURIComponent(password), `${username}:${password}`, distroLogin.password]) {
      expect(left).not.toContain(secret);
      expect(left).not.toContain(Buffer.from(secret).toString('base64').replace(/=+$/, ''));
    }
    const answered = [...world.registries.values(), ...world.charts.values(), world.ecr];
    const received = answered.flatMap((server) =>
      server.requests.entries.map(({ headers }) => JSON.stringify(headers)),
    );
    expect(received.filter((headers) => headers.includes('proxy-authorization'))).toEqual([]);
  });

  it('is left directly where NO_PROXY says so', async () => {
    const before = world.proxy.requests.length;
    const registry = await world.registry('registry.example.com');
    const { host } = world.ecr;
    const direct = { 'registry.example.com:443': portOf(registry.host), [`${world.names.ecr}:443`]: portOf(host) };
    // NO_PROXY names what is below a domain, too; who is asked there only where there is something to copy.
    const layers = 'layers.registry.example.com:443';
    const run = await world.eks({
      args: quick,
      env: {
        ...recordingConnections(log, { ...direct, [layers]: portOf(registry.storageHost) }),
        NO_PROXY: `localhost, registry.example.com, ${world.names.ecr}`,
      },
    });
    expect(run.status, said(run)).toBe(0);
    const connected = (await connectionsIn(log)).filter((target) => target !== layers);
    expect(connected).toEqual([...Object.keys(direct), world.proxy.host].sort());
    const targets = world.proxy.requests.slice(before).map(({ target }) => target);
    for (const name of [...Object.keys(direct), layers]) expect(targets).not.toContain(name);
    expect(targets).toContain('vault.example.com:443');
  });

  it('is understood with SSL_CERT_FILE alone', async () => {
    const env = { NODE_EXTRA_CA_CERTS: undefined, SSL_CERT_FILE: world.caFile };
    const run = await world.eks({ args: quick, env });
    expect(run.status, said(run)).toBe(0);
    const lost = await world.eks({ args: quick, env: { ...env, SSL_CERT_FILE: undefined } });
    expect(lost.status).toBe(1);
    expect(lost.stdout).toContain('NODE_EXTRA_CA_CERTS');
  });

  it('says that the proxy wants another password, without it', async () => {
    const wrong = world.proxy.url.replace(/:[^:@]+@/, ':wr0ng-Pa55@');
    const run = await world.eks({ args: quick, env: { HTTPS_PROXY: wrong } });
    expect(run.status).toBe(1);
    expect(run.stdout).toMatch(/407|HTTPS_PROXY/);
    expect(run.stdout + run.stderr + (await textsBelow(run.out)).join('\n')).not.toContain('wr0ng-Pa55');
  });
});

describe('certificates', () => {
  let world: World;
  onceUnlessRetried(
    async () => {
      world = await startWorld({ content: 'sample' });
    },
    () => world.close(),
  );

  const host = 'vault.example.com';
  const served = async (names: readonly string[], authority = world.authority, notAfter?: Date) => {
    const server = await startRegistryServer({ manners: 'plain', tls: await authority.issue(names, { notAfter }) });
    world.proxy.route(`${host}:443`, server.host);
    const run = await world.eks({ args: quick, publish: false });
    await server.close();
    return run;
  };

  it('of an unknown authority, of another name and of yesterday are told apart', async () => {
    const runs = {
      unknown: await served([host], await createAuthority('Another CA')),
      otherName: await served(['elsewhere.example.net']),
      expired: await served([host], world.authority, new Date(Date.now() - 3_600_000)),
    };
    for (const run of Object.values(runs)) {
      expect(run.status, said(run)).toBe(1);
      const failures = run.record?.failures ?? [];
      expect(failures.map(({ artifact }) => artifact.split('/')[0])).toEqual([host, host, host]);
      for (const failure of failures) {
        expect(failure).toMatchObject({ side: 'source', code: 'unreachable', host });
        expect(failure.cause).toContain('certificate');
      }
    }
    const first = (run: keyof typeof runs) => runs[run].record?.failures[0];
    expect(first('unknown')?.remedy).toContain('NODE_EXTRA_CA_CERTS');
    expect(first('otherName')?.cause).toContain('elsewhere.example.net');
    expect(first('otherName')?.remedy).not.toContain('NODE_EXTRA_CA_CERTS');
    expect(first('expired')?.cause).toContain('expired');
    expect(first('expired')?.remedy).not.toContain('NODE_EXTRA_CA_CERTS');
  });
});

const haveIpv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));
if (!haveIpv6) process.stderr.write('\nSKIPPED registries at IPv6 addresses: this machine has no ::1\n');

describe.runIf(haveIpv6)('registries at IPv6 addresses', () => {
  it('are read from and written to', async () => {
    const world = await startWorld({ content: 'sample' });
    const [from, to] = await Promise.all([
      startRegistryServer({ manners: 'plain', host: '::1' }),
      startRegistryServer({ manners: 'plain', host: '::1' }),
    ]);
    const image = buildImage({ name: 'six' });
    await from.putImage('team/six', '1', image);
    const list = join(world.folder, 'list.txt');
    await writeFile(list, `${from.host}/team/six:1 ${to.host}/copy/six:1\n`);
    const out = join(world.folder, 'six');
    const run = await readRun(out, await spawnProgram(['images', '--list', list, '--out', out], world.env));
    expect(run.status, said(run)).toBe(0);
    expect(to.manifest('copy/six', '1')?.descriptor.digest).toBe(image.digest);
    await Promise.all([from, to, world].map((each) => each.close()));
  });
});

describe('other partitions', () => {
  const others: readonly [string, Place][] = [
    ['GovCloud', places.govCloud],
    ['China', places.china],
    ['an isolated partition', places.isolated],
  ];

  it.concurrent.each(others)('have their own host names in requests and results: %s', async (_name, place) => {
    const world = await startWorld({ content: 'sample', place });
    try {
      const run = await world.eks({ args: quick });
      expect(run.status, said(run)).toBe(0);
      const { registry, ecr, s3 } = world.names;
      const result = await readResult(run);
      const repositories = Object.values(result.charts).map(({ helm }) => helm.repository);
      for (const each of repositories) expect(each.startsWith(`oci://${registry}/app-sample-charts/`)).toBe(true);
      expect(JSON.stringify(result.charts['web']?.values)).toContain(`${registry}/app-registry.example.com`);
      const bucket = `app-dkr-img-rep-md-${place.region}-${account}`;
      const metadata: unknown = JSON.parse(await readFile(join(run.out, 'metadata.json'), 'utf8'));
      expect(metadata).toMatchObject({ S3Bucket: bucket });
      expect(world.s3.buckets.get(bucket)?.location).toBe(place.region);
      const targets = new Set(world.proxy.requests.map(({ target }) => target));
      for (const name of [registry, ecr, `${bucket}.${s3}`]) expect(targets).toContain(`${name}:443`);
      expect(world.proxy.requests.filter(({ status }) => status !== 200)).toEqual([]);
    } finally {
      await world.close();
    }
  });
});

/** Every file below a folder as text; programs and other large files are left out. */
async function textsBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const texts = entries.map(async (entry) => {
    if (!entry.isFile()) return '';
    const bytes = await readFile(join(entry.parentPath, entry.name));
    return bytes.length > 2_000_000 ? '' : bytes.toString('latin1');
  });
  return Promise.all(texts);
}
