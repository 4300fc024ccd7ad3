import { RelayCommand, type RelayReply } from './messages.ts';
import { profiles } from './profile.ts';
import { startRelay } from './relay.ts';

// The relay's own process: forked by control.ts, ends with it.
const relay = await startRelay();
let cpuBefore = process.cpuUsage();

process.on('message', (message) => {
  const command = RelayCommand.parse(message);
  if (command.type === 'point') {
    relay.point(command.upstreamPort, profiles[command.profile][command.side]);
    cpuBefore = process.cpuUsage();
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const reply: RelayReply = {
    port: relay.port,
    pid: process.pid,
    cpuSeconds: (user + system) / 1e6,
    counters: relay.counters(),
  };
  process.send?.(reply);
});
process.on('disconnect', () => process.exit(0));
