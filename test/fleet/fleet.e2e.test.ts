import { expect } from 'vitest';
import * as z from 'zod';
import { buildImage, type ImageContent } from '../../src/testing/image-builder.ts';
import { story } from '../story.ts';
import { describeWith } from '../tools.ts';
import { bucket, statusTable } from './account.ts';
import { destinationHost, deployment, type FleetWorld, startFleetWorld } from './world.ts';
import { notMet, roleNeeds, roles } from './role-needs.ts';
import { lacking, roleGrants, unused } from '../../deploy/aws/testing/role-grants.ts';
import { Template } from '../../deploy/aws/testing/resolve.ts';
import { templateFile } from '../../deploy/aws/template.ts';
import { readFileSync } from 'node:fs';

const template = Template.parse(JSON.parse(readFileSync(templateFile, 'utf8')));
const image = (name: string): ImageContent => buildImage({ name, index: false, platforms: ['linux/amd64'] });
const names = Array.from({ length: 58 }, (_, number) => `team/app-${String(number).padStart(2, '0')}`);
const shardCount = 5;
const poison = 'team/poison';
/** At both sides from the beginning. */
const there = 'team/there';

const Summary = z.object({ copied: z.number(), unchanged: z.number(), failed: z.number() });

describeWith(['moto_server'], 'a run over several workers, as it is deployed: 60 images, two accounts', () => {
  let world: FleetWorld;
  const part = story(
    async () => {
      world = await startFleetWorld(shardCount);
      for (const name of [...names, poison, there]) await world.source.putImage(name, '1', image(name));
      await world.destination.putImage(there, '1', image(there));
      world.source.fail({ class: 'manifest-get', repository: poison, times: 'always', fault: { kind: 'corrupt' } });
    },
    () => world.close(),
  );

  const log = () =>
    world.tasks.tasks
      .map(({ command, output }) => `${command.join(' ')}\n${output}`)
      .join('\n---\n')
      .slice(-4000);
  const commands = (kind: string) =>
    world.tasks.tasks.filter((task) => task.kind === kind).map(({ command }) => command);

  part('copies all but the poisoned image, though a worker is killed and the registry throttles', async () => {
    const { account, tasks, destination } = world;
    const first = await account.start('first');
    await until(() => destination.count('manifest-put') >= 8);
    const [killed] = tasks.running('worker');
    killed?.process.kill('SIGKILL');
    const second = await account.end(await account.start('meanwhile'));
    expect(JSON.parse(second.output ?? '')).toEqual({ state: 'Skipped', running: first });
    const ended = await account.end(first);
    expect(ended, log()).toMatchObject({ status: 'FAILED', error: 'ImagesFailed' });
    expect(ended.cause).toMatch(/^Run first: 1 failed, \d+ copied, \d+ unchanged; shards to be run again: \d\./);
    expect(differences(names)).toEqual([]);
    expect(destination.repositories()).not.toContain(poison);
    expect(await destination.damage()).toEqual([]);
    expect(movedTwice()).toEqual([]);
    const shards = commands('worker').map(([, , shard]) => shard);
    expect(new Set(shards).size).toBe(shardCount);
    // As many at the same time as maxConcurrency says.
    expect(tasks.most('worker')).toBe(4);
    expect(shards.filter((shard) => shard === killed?.command[2]).length).toBeGreaterThan(1);
  });

  part(
    'tells what failed: by mail, in the summary, in the status table, which says nothing that is not so',
    async () => {
      const [mail = ''] = await world.account.mails();
      expect(mail).toContain(`/${poison}:1`);
      // As it is to be typed: the ARN names the state machine and its region, too.
      expect(mail).toContain(`image-replication runs --redrive ${execution('first')} `);
      // What the killed worker had copied its successor finds unchanged.
      const { copied, unchanged, failed: failures } = await runFile('first/summary.json', Summary);
      expect([copied + unchanged, failures]).toEqual([59, 1]);
      const { failed, ...rest } = await statuses();
      expect(failed).toEqual([poison]);
      const fine = Object.values(rest).flat().sort();
      expect(fine).toEqual([...names, there]);
      expect(differences(fine)).toEqual([]);
    },
  );

  part('copies next time what is new: one image that has moved', async () => {
    const { source, destination, account } = world;
    source.requests.reset();
    destination.requests.reset();
    await source.putImage(names[7] ?? '', '1', image('moved'));
    expect(await account.end(await account.start('second')), log()).toMatchObject({ status: 'FAILED' });
    expect(differences(names)).toEqual([]);
    expect(await runFile('second/summary.json', Summary)).toMatchObject({ copied: 1, unchanged: 58, failed: 1 });
    expect(written()).toEqual([names[7]]);
  });

  part('does again only what failed, when it is told to, and plans nothing', async () => {
    const { source, destination, account, tasks } = world;
    source.reset();
    destination.requests.reset();
    const before = tasks.tasks.length;
    const redrive = { location: `s3://${bucket}/runs/second`, bucket, key: 'runs/second/failed.json' };
    const ended = await account.end(await account.start('again', redrive));
    expect(ended.status, `${String(ended.cause)} ${log()}`).toBe('SUCCEEDED');
    expect(tasks.tasks.slice(before).map(({ kind }) => kind)).toEqual(['worker', 'summary']);
    expect(written()).toEqual([poison]);
    expect(differences([...names, poison])).toEqual([]);
    expect((await statuses())['failed']).toBeUndefined();
    expect(await destination.damage()).toEqual([]);
  });

  part('needs what the template’s roles grant: not less, and not more', () => {
    const needs = roleNeeds(world, template);
    const grants = roleGrants(template, deployment);
    expect(lacking(needs, grants)).toEqual([]);
    expect(unused(needs, grants, roles)).toEqual(notMet);
  });

  const execution = (name: string): string =>
    `${world.account.stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;
  function differences(all: readonly string[]): readonly string[] {
    const digest = (server: FleetWorld['source'], name: string) => server.manifest(name, '1')?.descriptor.digest;
    return all.filter((name) => digest(world.source, name) !== digest(world.destination, name));
  }
  const written = () => [...new Set(world.destination.requests.of('manifest-put').map(({ repository }) => repository))];
  async function runFile<T extends z.ZodType>(name: string, schema: T): Promise<z.infer<T>> {
    const { Body } = await world.account.s3.getObject({ Bucket: bucket, Key: `runs/${name}` });
    return schema.parse(JSON.parse((await Body?.transformToString()) ?? ''));
  }
  /** Images by their state in the table. */
  async function statuses(): Promise<Record<string, string[]>> {
    const { Items = [] } = await world.account.dynamodb.scan({ TableName: statusTable });
    const found: Record<string, string[]> = {};
    for (const { target, state } of Items) {
      const name = target?.S?.replace(`${destinationHost}/`, '').replace(/:1$/, '') ?? '';
      found[state?.S ?? ''] = [...(found[state?.S ?? ''] ?? []), name].sort();
    }
    return found;
  }
  /** Blobs that were put into a repository that had them. */
  function movedTwice(): readonly string[] {
    const puts = world.destination.requests.of('upload-put').filter(({ status }) => status === 201);
    const keys = puts.map(({ path, repository }) => `${repository ?? ''} ${/digest=([^&]+)/.exec(path)?.[1] ?? ''}`);
    return keys.filter((key, index) => keys.indexOf(key) !== index);
  }
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}
