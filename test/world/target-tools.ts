import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import * as z from 'zod';
import { requireTool } from '../tools.ts';
import type { World } from './world.ts';

/** helm and skopeo as somebody uses them who has a token for the target and the same network as the program. */
export interface TargetTools {
  helm(name: 'helm3' | 'helm4', ...args: readonly string[]): Promise<string>;
  skopeo(...args: readonly string[]): Promise<string>;
}

const Token = z.object({ authorizationData: z.array(z.object({ authorizationToken: z.string() })).min(1) });

/** Asks the ECR stand-in for a token: base64 of `AWS:<password>`, which is what docker's configuration holds. */
async function ecrToken(world: World): Promise<string> {
  const asking = request(world.ecr.url, {
    method: 'POST',
    ca: world.authority.certificate,
    servername: world.names.ecr,
    headers: {
      'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
      // The stand-in wants a signature to be there, and does not verify it.
      authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/${world.place.region}/ecr/aws4_request`,
    },
  });
  asking.end('{}');
  const [answer] = (await once(asking, 'response')) as [IncomingMessage];
  return Token.parse(JSON.parse(await text(answer))).authorizationData[0]?.authorizationToken ?? '';
}

export async function targetTools(world: World): Promise<TargetTools> {
  const home = await mkdtemp(join(world.folder, 'tools-'));
  const auth = join(home, 'config.json');
  const auths = { [world.names.registry]: { auth: await ecrToken(world) } };
  await writeFile(auth, JSON.stringify({ auths }));
  await mkdir(join(home, 'tmp'));
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: home,
    TMPDIR: join(home, 'tmp'),
    HTTPS_PROXY: world.proxy.url,
    SSL_CERT_FILE: world.caFile,
    HELM_REGISTRY_CONFIG: auth,
    REGISTRY_AUTH_FILE: auth,
  };
  const run = async (program: string, args: readonly string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(requireTool(program), args, { env, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  };
  return {
    helm: (name, ...args) => run(name, args),
    skopeo: (...args) => run('skopeo', args),
  };
}
