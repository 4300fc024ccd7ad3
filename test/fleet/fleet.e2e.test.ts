import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { buildImage, type ImageContent } from '../../src/testing/image-builder.ts';
import { describeWith } from '../tools.ts';
import { bucket, statusTable } from './account.ts';
import { destinationHost, type FleetWorld, startFleetWorld } from './world.ts';

const image = (name: string): ImageContent => buildImage({ name, index: false, platforms: ['linux/amd64'] });
const names = Array.from({ length: 59 }, (_, number) => `team/app-${String(number).padStart(2, '0')}`);
const poison = 'team/poison';

describeWith(['moto_server'], 'a run over several workers, as it is deployed: 60 images, two accounts', () => {
  let world: FleetWorld;
  beforeAll(async () => {
    world = await startFleetWorld(6);
    for (const name of [...names, poison]) await world.source.putImage(name, '1', image(name));
    world.source.fail({ class: 'manifest-get', repository: poison, times: 'always', fault: { kind: 'corrupt' } });
  });
  afterAll(() => world.close());

  const log = () => world.tasks.tasks.map(({ command, output }) => `${command.join(' ')}\n${output}`).join('\n---\n');
  const commands = (kind: string) =>
    world.tasks.tasks.filter((task) => task.kind === kind).map(({ command }) => command);

  it('copies all but the poisoned image, though a worker is killed and the registry throttles', async () => {
    const { account, tasks, destination } = world;
    const first = await account.start('first');
    await until(() => destination.count('manifest-put') >= 8);
    tasks.running('worker')[0]?.process.kill('SIGKILL');
    const second = await account.end(await account.start('meanwhile'));
    expect(JSON.parse(second.output ?? '')).toEqual({ state: 'Skipped', running: first });
    const ended = await account.end(first);
    expect(ended, log()).toMatchObject({ status: 'FAILED', error: 'ImagesFailed' });
    expect(ended.cause).toMatch(/^1 images failed in run first/);
    expect(commands('worker').length, log()).toBe(6 + 1);
    expect(differences(names)).toEqual([]);
    expect(destination.tags(poison)).toEqual([]);
    expect(await destination.damage()).toEqual([]);
    expect(movedTwice()).toEqual([]);
  });

  function differences(all: readonly string[]): readonly string[] {
    const digest = (server: FleetWorld['source'], name: string) => server.manifest(name, '1')?.descriptor.digest;
    return all.filter((name) => digest(world.source, name) !== digest(world.destination, name));
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
void z;
void bucket;
void statusTable;
void destinationHost;
