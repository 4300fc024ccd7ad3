import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, mkdirSync, copyFileSync, readFileSync, rmSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { create } from 'tar';
import { type ChartServer, startChartServer } from '../../src/testing/chart-server.ts';
import { type RegistryServer, startRegistryServer } from '../../src/testing/registry-server.ts';
import { pushSampleImages, sampleCharts, sampleDataFiles } from '../../src/testing/samples.ts';
import { type Recorder, startRecorder } from '../iam/recorder.ts';
import { requireTool } from '../tools.ts';
import { type Account, accountId, clientSettings, startAccount } from './account.ts';
import { openSeedFarmer, type SeedFarmer } from './harness.ts';
import { thisRepository } from './project.ts';

/** Everything that the module meets in an AWS account and outside, on this machine. */
export interface World {
  readonly account: Account;
  readonly ecr: RegistryServer;
  readonly open: RegistryServer;
  readonly private: RegistryServer;
  readonly charts: ChartServer;
  readonly helmDistroUrl: string;
  readonly recorder: Recorder;
  readonly seedfarmer: SeedFarmer;
  /** Texts of default.yaml and of a version file, pointing at this world's hosts. */
  readonly dataFiles: { readonly defaults: string; readonly version: string };
  close(): Promise<void>;
}

export const region = 'eu-central-1';
/** Credentials of the private registry and of the helm distribution, and the secret that holds them. */
export const secret = { name: 'team/replication', username: 'robot', password: 'S3cr3t/Pa$$word' };

export async function startWorld(): Promise<World> {
  const login = { username: secret.username, password: secret.password };
  const [account, ecr, open, vault, charts, distro] = await Promise.all([
    startAccount(region),
    // Go's HTTP client takes two ports of one host for the same place and sends them its credentials; real storage is
    // another host (tested with names of their own in main-job.e2e.test.ts).
    startRegistryServer({ manners: 'ecr', region, accountId, blobRedirect: false }),
    startRegistryServer({ manners: 'plain', auth: { kind: 'bearer', anonymousPull: true } }),
    startRegistryServer({ manners: 'plain', auth: { kind: 'bearer', ...login } }),
    startChartServer({ charts: sampleCharts() }),
    startHelmDistro(login),
  ]);
  await pushSampleImages({ open, private: vault });
  await putSecret(account, login);
  const recorder = await startRecorder({ endpoint: account.endpoint, partition: 'aws', region, account: accountId });
  const seedfarmer = openSeedFarmer({
    account,
    module: thisRepository,
    environment: { AWS_ENDPOINT_URL_ECR: ecr.url },
    buildEnvironment: { AWS_ENDPOINT_URL: recorder.url },
  });
  return {
    account,
    ecr,
    open,
    private: vault,
    charts,
    helmDistroUrl: distro.url,
    recorder,
    seedfarmer,
    dataFiles: sampleDataFiles({
      chartRepository: charts.url,
      dockerMappings: { default: open.host, 'registry.example.com': open.host, 'vault.example.com': vault.host },
    }),
    async close() {
      seedfarmer.close();
      await Promise.all([account, recorder].map((each) => ('stop' in each ? each.stop() : each.close())));
      await Promise.all([ecr, open, vault, charts, distro].map((each) => each.close()));
    },
  };
}

async function putSecret(account: Account, login: object): Promise<void> {
  const client = new SecretsManagerClient(clientSettings(account));
  await client.send(new CreateSecretCommand({ Name: secret.name, SecretString: JSON.stringify(login) }));
  client.destroy();
}

/** A host that gives out helm 3 as get.helm.sh does, to those who know the password. */
async function startHelmDistro(login: { readonly username: string; readonly password: string }): Promise<{
  readonly url: string;
  close(): Promise<void>;
}> {
  const folder = mkdtempSync(join(tmpdir(), 'helm-distro-'));
  const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const member = `${process.platform}-${arch}`;
  mkdirSync(join(folder, member));
  copyFileSync(requireTool('helm3'), join(folder, member, 'helm'));
  const archive = join(folder, 'helm.tar.gz');
  await create({ gzip: { level: 1 }, file: archive, cwd: folder, portable: true }, [member]);
  const bytes = readFileSync(archive);
  rmSync(folder, { recursive: true });
  const sum = createHash('sha256').update(bytes).digest('hex');
  const expected = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  const path = `/helm/helm-v3-${member}.tar.gz`;
  const server = createServer((incoming, outgoing) => {
    const known: Readonly<Record<string, Buffer | string>> = { [path]: bytes, [`${path}.sha256sum`]: `${sum}  helm\n` };
    const body = known[incoming.url ?? ''];
    if (incoming.headers.authorization !== expected) {
      outgoing.writeHead(401, { 'www-authenticate': 'Basic realm="helm"' }).end();
    } else outgoing.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${String(portOf(server))}${path}`, close: () => closed(server) };
}

function portOf(server: Server): number {
  // A server that listens on a port has an AddressInfo; only pipes have a string.
  return (server.address() as AddressInfo).port;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
