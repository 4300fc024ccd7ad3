// Loaded into the program under test (NODE_OPTIONS=--import): writes down every TCP connection that it opens, one
// `host:port` a line, into the file CONNECTIONS_LOG. CONNECTIONS_TO (JSON) leads `host:port` to a port of this machine,
// as a name server and a firewall would.
import { appendFileSync } from 'node:fs';
import net from 'node:net';

const { CONNECTIONS_LOG: log, CONNECTIONS_TO: to } = process.env;
const routes = new Map(Object.entries(JSON.parse(to ?? '{}')));
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function recorded(...args) {
  // net.connect() hands its arguments over as one array: [options, callback].
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (log !== undefined && options?.port !== undefined) {
    const target = `${options.host ?? 'localhost'}:${options.port}`;
    appendFileSync(log, `${target}\n`);
    const port = routes.get(target);
    if (port !== undefined) Object.assign(options, { host: '127.0.0.1', port });
  }
  return connect.apply(this, args);
};
