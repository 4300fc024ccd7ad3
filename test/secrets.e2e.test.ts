import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { buildImage } from '../src/testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../src/testing/registry-server.ts';
import { type ProgramRun, spawnProgram, type Variables } from './program.ts';
import { formsOf, type Leak, leaksIn, type Planted } from './secrets/forms.ts';
import { type HostileHosts, hostileRegistry, misdeeds, startHostileHosts } from './secrets/hostile.ts';
import { filesBelow, type Sightings, watch } from './secrets/watch.ts';
import { story } from './story.ts';
import { describeWith } from './tools.ts';
import { type HelmDistro, startHelmDistro } from './world/helm-distro.ts';
import { vaultLogin } from './world/registries.ts';
import { startWorld, type World } from './world/world.ts';

// Secrets are planted everywhere they may come from; then everything that leaves the program is searched for them.

const vault = 'vault.example.com';
const team = 'registry.team.test';
const names = {
  helm: 'helm.example.com',
  helper: 'helper.team.test',
} as const;

const proxy = { name: 'proxy password', username: 'proxy-user', value: 'pr0xy pass/word+%?1', allowed: [] };
const helmDistro = {
  name: 'helm distribution secret',
  username: 'helm',
  value: 'h3lm-Distro"quoted"/2',
  allowed: [names.helm],
};
const flat = { name: 'flat secret', username: 'flat-user', value: 'fl4t-Secret+for/own-hosts=', allowed: [] };
const unused = {
  name: 'nested secret of another host',
  username: 'other',
  value: 'n3sted<b>Secret</b>/other',
  allowed: [],
};
const dockerConfig = {
  name: 'docker config.json',
  username: 'team',
  value: 'd0cker-Config:Pass/word==',
  allowed: [team],
};
const helper = {
  name: 'credential helper',
  username: 'helped',
  value: 'h3lper-Secret-{"json"}\\3',
  allowed: [names.helper],
};
const hostile: readonly (Planted & { readonly username: string })[] = misdeeds.map((misdeed) => ({
  name: `credentials of a hostile registry (${misdeed})`,
  username: 'victim',
  value: `h0stile/${misdeed}+Regis?try&secret`,
  allowed: [hostileRegistry(misdeed)],
}));

describeWith(['helm3'], 'secrets', () => {
  let world: World;
  let distro: HelmDistro;
  let bad: HostileHosts;
  let own: RegistryServer;
  let helped: RegistryServer;
  let aws: readonly Planted[];
  let docker: string;
  let env: Variables;

  const part = story(begin, end);
  async function begin(): Promise<void> {
    world = await startWorld({ content: 'sample', proxyLogin: { username: proxy.username, password: proxy.value } });
    [distro, bad, own, helped] = await Promise.all([
      startHelmDistro(world, { username: helmDistro.username, password: helmDistro.value }),
      startHostileHosts(world.authority, world.proxy),
      registryBehindBasic(team, dockerConfig),
      registryBehindBasic(names.helper, helper),
    ]);
    const services = [world.names.ecr, world.names.s3, world.names.sts, world.names.secretsManager];
    aws = [
      { name: 'AWS secret access key', value: 'wJalr+Secret/Access/Key/Of+This+Test/001', allowed: [] },
      { name: 'AWS session token', value: 'IQoJb3JpZ2luX2VjEJr//////////wEaCXVz+Session/Token==', allowed: services },
    ];
    world.secrets.set(
      'all',
      JSON.stringify({
        username: flat.username,
        password: flat.value,
        [vault]: vaultLogin,
        'never.asked.test': { username: unused.username, password: unused.value },
      }),
    );
    world.secrets.set('helm', JSON.stringify({ team: { username: helmDistro.username, password: helmDistro.value } }));
    docker = join(world.folder, 'docker');
    await writeDockerConfig();
    env = {
      ...world.env,
      // Where its helper is; and without the world's helm, so that one has to be fetched.
      PATH: `${docker}:/usr/bin:/bin`,
      DOCKER_CONFIG: docker,
      AWS_SECRET_ACCESS_KEY: aws[0]?.value,
      AWS_SESSION_TOKEN: aws[1]?.value,
      SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'all',
      SEEDFARMER_PARAMETER_HELM_DISTRO_URL: distro.url,
      SEEDFARMER_PARAMETER_HELM_DISTRO_SECRET_NAME: 'helm',
      SEEDFARMER_PARAMETER_HELM_DISTRO_SECRET_KEY: 'team',
    };
  }
  async function end(): Promise<void> {
    await Promise.all([distro, bad, own, helped].map((each) => each.close()));
    await world.close();
  }

  async function registryBehindBasic(name: string, { username, value }: typeof dockerConfig): Promise<RegistryServer> {
    const server = await startRegistryServer({
      manners: 'plain',
      hostName: name,
      auth: { kind: 'basic', username, password: value },
      tls: await world.authority.issue([name]),
    });
    await server.putImage('team/app', '1', buildImage({ name }));
    world.proxy.route(`${name}:443`, server.host);
    return server;
  }

  async function writeDockerConfig(): Promise<void> {
    await mkdir(docker);
    const auth = (who: Pick<typeof dockerConfig, 'username' | 'value'>) => ({
      auth: Buffer.from(`${who.username}:${who.value}`).toString('base64'),
    });
    const enemies = hostile.map((each) => [each.allowed[0] ?? '', auth(each)] as const);
    const auths = { [team]: auth(dockerConfig), ...Object.fromEntries(enemies) };
    const config = { auths, credHelpers: { [names.helper]: 'secret' } };
    await writeFile(join(docker, 'config.json'), JSON.stringify(config));
    await writeFile(join(docker, 'answer.json'), JSON.stringify({ Username: helper.username, Secret: helper.value }));
    const script = '#!/bin/sh\ncat >/dev/null\ncat "$(dirname "$0")/answer.json"\n';
    await writeFile(join(docker, 'docker-credential-secret'), script);
    await chmod(join(docker, 'docker-credential-secret'), 0o755);
  }

  /** All that was planted, and all tokens that the servers have given out so far. */
  function planted(): readonly Planted[] {
    const tokens = (server: RegistryServer | undefined, name: string, pattern: RegExp, allowed: readonly string[]) =>
      [...new Set(server?.requests.entries.flatMap(({ headers }) => pattern.exec(headers.authorization ?? '')?.[1] ?? []))]
        .map((value, index) => ({ name: `${name} ${index}`, value, allowed })); // prettier-ignore
    const ecrTokens = tokens(world.ecr, 'ECR token', /^Basic (.+)$/, [world.names.registry]).map((token) => ({
      ...token,
      value: Buffer.from(token.value, 'base64').toString().replace(/^AWS:/, ''),
      username: 'AWS',
    }));
    const bearer = tokens(world.registries.get(vault), 'Bearer token', /^Bearer (.+)$/, [vault]);
    const login = { name: 'secret of the private registry', username: vaultLogin.username, value: vaultLogin.password };
    const further = [proxy, helmDistro, flat, unused, dockerConfig, helper, ...hostile, { ...login, allowed: [vault] }];
    return [...further, ...aws, ...ecrTokens, ...bearer];
  }

  /** Requests of all hosts, and what each may not have been told. */
  function leaksInRequests(secrets: readonly Planted[]): readonly Leak[] {
    const servers = [world.ecr, own, helped, ...world.registries.values(), ...world.charts.values()];
    const logged = servers.flatMap(({ requests }) =>
      requests.entries.map(({ path, headers }) => ({ url: path, headers })),
    );
    const api = world.secretsManager.requests.map(({ operation, headers }) => ({ url: operation, headers }));
    return [...logged, ...api, ...bad.seen].flatMap(({ url, headers }) => {
      const host = headers.host ?? '';
      const forbidden = secrets.filter(({ allowed }) => !allowed.includes(host));
      const header = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`);
      const decoded = url.includes('%') ? decodeURIComponent(url) : '';
      return leaksIn([url, decoded, ...header].join('\n'), `request to ${host}`, forbidden);
    });
  }

  interface Watched extends ProgramRun {
    readonly out: string;
    readonly sightings: Sightings;
  }

  let runs = 0;
  async function run(args: readonly string[], changes: Variables = {}, input = ''): Promise<Watched> {
    const out = join(world.folder, `out-${++runs}`);
    const sightings = watch(join(world.folder, 'tmp'));
    try {
      const ended = await spawnProgram([...args, '--out', out], { ...env, ...changes }, { input });
      return { ...ended, out, sightings };
    } finally {
      sightings.stop();
    }
  }

  const eks = (changes: Variables = {}, ...more: readonly string[]): Promise<Watched> =>
    run(['eks', '--data-dir', world.dataDir ?? '', '--publish', ...more], changes);

  /** Searches all that a run left: streams, files, argument lists, requests, S3. */
  function leaksOf({ stdout, stderr, out, sightings }: Watched): readonly Leak[] {
    const secrets = planted();
    const files = [out, join(world.folder, 'home'), join(world.folder, 'tmp')].flatMap((each) => [...filesBelow(each)]);
    const objects = [...world.s3.buckets].flatMap(([name, bucket]) =>
      bucket.versions.map(({ key, body }) => [`s3://${name}/${key}`, Buffer.from(body ?? '')] as const),
    );
    return [
      ...leaksIn(stdout, 'standard output', secrets),
      ...leaksIn(stderr, 'standard error', secrets),
      ...[...files, ...sightings.files, ...objects].flatMap(([path, content]) => leaksIn(content, path, secrets)),
      ...[...sightings.commands].flatMap((command) => leaksIn(command, `arguments: ${command.slice(0, 60)}`, secrets)),
      ...leaksIn(world.s3.requests.join('\n'), 'requests to S3', secrets),
      ...leaksInRequests(secrets),
    ];
  }

  part('do not leave the program when all goes well', async () => {
    const done = await eks();
    expect(done.status, done.stdout + done.stderr).toBe(0);
    expect(done.stdout).toContain('published s3://');
    // The run used all of these: else the search would prove nothing.
    expect(
      [...done.sightings.commands].some((command) => command.includes('helm') && command.includes('template')),
    ).toBe(true);
    const kinds = planted().map(({ name }) => name.replace(/ \d+$/, ''));
    expect(kinds).toEqual(expect.arrayContaining(['ECR token', 'Bearer token']));
    expect(leaksOf(done)).toEqual([]);
  });

  part('of docker do not leave the program when all goes well', async () => {
    const list = `${team}/team/app:1\n${names.helper}/team/app:1 helped/app:1\n${vault}/team/gateway:1.4.2\n`;
    const target = `oci-layout:${join(world.folder, 'layout')}`;
    const withoutVault = await run(['images', '--list', '-', '--target', target], {}, list);
    // Docker's configuration knows nothing of the vault: the secret of the EKS job is not for this one.
    expect(withoutVault.status).toBe(1);
    expect(withoutVault.stdout).toMatch(
      /copied +registry\.team\.test[^]*copied +helper\.team\.test|copied +helper\.team\.test[^]*copied +registry\.team\.test/,
    );
    expect(leaksOf(withoutVault)).toEqual([]);
  });

  part('do not leave the program when registries answer with the credentials in it, or send it elsewhere', async () => {
    const target = `oci-layout:${join(world.folder, 'layout')}`;
    const list = misdeeds.map((misdeed) => `${hostileRegistry(misdeed)}/team/${misdeed}:1\n`).join('');
    const failed = await run(['images', '--list', '-', '--target', target], {}, list);
    expect(failed.status).toBe(1);
    expect(failed.stdout).toContain(`FAILED with ${misdeeds.length} failures`);
    for (const misdeed of misdeeds) {
      const own = bad.seen.filter(({ host }) => host === hostileRegistry(misdeed));
      // The registry itself was given them, unless it wanted them sent elsewhere.
      expect(own.some(({ headers }) => headers.authorization !== undefined)).toBe(misdeed !== 'realm');
    }
    expect(failed.stdout).toContain('you said Basic ******');
    expect(leaksOf(failed)).toEqual([]);
  });

  part('do not leave the program when AWS repeats a request in its refusal', async () => {
    // AWS quotes the canonical request, with the session token in it, when a signature does not match.
    const [key, token] = aws;
    const message = `The Canonical String for this request should have been 'POST\n/\n\nx-amz-security-token:${token?.value ?? ''}\n' (${key?.value ?? ''})`;
    const fault = {
      kind: 'status',
      status: 403,
      headers: { 'x-amzn-errortype': 'InvalidSignatureException', 'content-type': 'application/x-amz-json-1.1' },
      body: JSON.stringify({ __type: 'InvalidSignatureException', message }),
    } as const;
    world.ecr.fail({ class: 'api', action: 'GetAuthorizationToken', times: 'always', fault });
    const failed = await eks();
    world.ecr.faults.clear();
    expect(failed.status).toBe(1);
    expect(failed.stdout).toContain('InvalidSignatureException');
    expect(leaksOf(failed)).toEqual([]);
  });

  const refusals = [
    ['the private registry refuses them', { class: 'token', status: 401 }],
    ['the private registry forbids', { class: 'manifest-get', status: 403 }],
    ['ECR refuses its token', { class: 'upload-start', status: 401 }],
  ] as const;
  for (const [what, { class: kind, status }] of refusals)
    part(`do not leave the program when ${what}`, async () => {
      const server = kind === 'upload-start' ? world.ecr : world.registries.get(vault);
      server?.fail({ class: kind, times: 'always', fault: { kind: 'status', status, body: 'no' } });
      await rm(join(world.folder, 'tmp'), { recursive: true });
      await mkdir(join(world.folder, 'tmp'));
      const failed = await eks({ SEEDFARMER_PROJECT_NAME: 'other' }, '--no-render');
      server?.faults.clear();
      expect(failed.status).toBe(1);
      expect(leaksOf(failed)).toEqual([]);
    });

  part('do not leave the program when the proxy or the helm host refuse them', async () => {
    const wrong = new URL(world.proxy.url);
    wrong.password = encodeURIComponent(`${proxy.value}-wrong`);
    const refused = await eks({ HTTPS_PROXY: wrong.href });
    expect(refused.status).not.toBe(0);
    expect(leaksOf(refused)).toEqual([]);
    world.secrets.set('helm', JSON.stringify({ team: { username: 'who', password: helmDistro.value } }));
    const unknown = await run(['helm'], { XDG_CACHE_HOME: join(world.folder, 'tmp/empty') });
    expect(unknown.status).not.toBe(0);
    expect(unknown.stdout).toContain('HelmDistroSecret');
    expect(leaksOf(unknown)).toEqual([]);
  });

  describe('the search', () => {
    part('finds every form of a secret, wherever it stands', () => {
      for (const secret of planted())
        for (const form of formsOf(secret)) expect(leaksIn(`before${form.text}after`, 'x', [secret])).not.toEqual([]);
      for (const before of ['', '1', '12', '123']) {
        const text = Buffer.from(`${before}${proxy.value}more`).toString('base64');
        expect(leaksIn(text, 'x', [proxy])).not.toEqual([]);
      }
    });

    part('finds the credentials in requests to those whom they are for', () => {
      const nobody = planted().map((secret) => ({ ...secret, allowed: [] }));
      const found = new Set(leaksInRequests(nobody).map(({ secret }) => secret.replace(/ \d+$/, '')));
      const expected = ['ECR token', 'Bearer token', 'secret of the private registry', 'AWS session token'];
      const enemies = hostile.slice(0, -1).map(({ name }) => name);
      expect([...found]).toEqual(expect.arrayContaining(enemies));
      expect([...found]).toEqual(expect.arrayContaining([...expected, dockerConfig.name, helper.name]));
    });

    part('finds what a program writes, is called with, and leaves in a file that it deletes', async () => {
      const sightings = watch(join(world.folder, 'tmp'));
      const file = join(world.folder, 'tmp/short-lived');
      // It deletes the file when it is told to, which is once both have been seen.
      const child = spawn('sh', ['-c', `echo "$1" >"${file}"; read -r _; rm "${file}"`, 'sh', flat.value]);
      const ended = once(child, 'close');
      const inFile = (): boolean => sightings.files.get(file)?.includes(flat.value) ?? false;
      const inCommand = (): boolean => [...sightings.commands].some((command) => command.includes(flat.value));
      await expect
        .poll(() => inFile() && inCommand(), { timeout: 60_000 })
        .toBe(true)
        .finally(() => child.stdin.end());
      await ended;
      expect(existsSync(file)).toBe(false);
      sightings.stop();
      const leaks = leaksOf({
        status: 0,
        stdout: `--password ${proxy.value}`,
        stderr: '',
        out: world.folder,
        sightings,
      });
      const seen = leaks.map(({ secret, where }) => `${secret} in ${where.replace(/: .*/, '')}`);
      expect(seen).toContain('proxy password in standard output');
      expect(seen).toContain(`flat secret in ${file}`);
      expect(seen).toContain('flat secret in arguments');
      // The folder of the test has docker's own configuration in it.
      expect(seen).toContain(`docker config.json in ${join(docker, 'config.json')}`);
    });
  });
});
