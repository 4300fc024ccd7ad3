import { expect, it } from 'vitest';
import { startHealthServer } from './health-server.ts';
import { mirrorMetrics } from './metrics.ts';
import { stateAfter } from './schedule.ts';
import { section } from './test-support.ts';

it('answers probes and Prometheus, and nothing else', async () => {
  const metrics = await mirrorMetrics();
  const state = stateAfter(section('a "quoted"'), undefined, { kind: 'done' }, { now: 5_000, target: 'x', random: 0 });
  metrics.configuration(true);
  metrics.passEnded('ok', 3, 1024);
  const image = { target: 't/a:1', section: 'a', source: 's/a:1', digest: 'sha256:1', mirrored: 1, checked: 1 };
  metrics.state([section('a "quoted"'), section('new')], new Map([[state.section, state]]), [
    { ...image, error: undefined },
    { ...image, error: 'no' },
  ]);
  let healthy = true;
  const server = await startHealthServer(0, () => ({ healthy, text: healthy ? 'ok' : 'silent' }), metrics);
  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return [response.status, await response.text(), response.headers.get('content-type')] as const;
  };
  try {
    expect(await ask('/healthz')).toEqual([200, 'ok\n', 'text/plain; charset=utf-8']);
    expect(await ask('/healthz', 'HEAD')).toEqual([200, '', 'text/plain; charset=utf-8']);
    healthy = false;
    expect(await ask('/healthz?x=y')).toEqual([503, 'silent\n', 'text/plain; charset=utf-8']);
    expect((await ask('/'))[0]).toBe(404);
    expect((await ask('/metrics', 'POST'))[0]).toBe(405);
    const [status, text, type] = await ask('/metrics');
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    for (const line of [
      'image_replication_mirror_sections 2',
      'image_replication_mirror_images{state="failed"} 1',
      'image_replication_mirror_images{state="ok"} 1',
      'image_replication_mirror_passes_total{result="ok"} 1',
      'image_replication_mirror_written_bytes_total 1024',
      'image_replication_mirror_section_next_timestamp_seconds{section="a \\"quoted\\""} 3605',
      'image_replication_mirror_config_valid 1',
    ])
      expect(text.split('\n')).toContain(line);
    await expect(startHealthServer(server.port, () => ({ healthy, text: '' }), metrics)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining(`cannot listen on port ${server.port}`) as unknown,
    });
  } finally {
    await server.close();
  }
});
