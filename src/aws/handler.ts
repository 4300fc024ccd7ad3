import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import type { NodeHttpHandler, NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import type { NetworkSettings } from '../model/network.ts';
import { proxyFor } from '../model/proxy.ts';

type Request = Parameters<NodeHttpHandler['handle']>[0];
type Options = Parameters<NodeHttpHandler['handle']>[1];
type Answer = ReturnType<NodeHttpHandler['handle']>;

/** Connections to one AWS endpoint at a time. ECR's API and S3 take far more; this bounds sockets, not rates. */
const maxSockets = 50;
/** Milliseconds to reach an endpoint, and to wait for an answer's next byte. */
const timeouts = { connectionTimeout: 10_000, requestTimeout: 60_000, throwOnRequestTimeout: true } as const;

/** What the SDK's clients need of a request handler, with one proxy decision per request. */
export interface AwsRequestHandler {
  readonly metadata: { readonly handlerProtocol: string };
  handle(request: Request, options?: Options): Answer;
  updateHttpClientConfig(key: keyof NodeHttpHandlerOptions, value: never): void;
  httpHandlerConfigs(): NodeHttpHandlerOptions;
  destroy(): void;
}

/**
 * A request handler that sends each request through the proxy that the settings give for its host, and trusts the
 * private certificate authorities. The SDK itself reads neither HTTPS_PROXY nor NO_PROXY (aws/aws-sdk-js-v3#4619).
 */
export async function requestHandler(network: NetworkSettings): Promise<AwsRequestHandler> {
  const [{ NodeHttpHandler: Handler }, { HttpsProxyAgent }] = await Promise.all([
    import('@smithy/node-http-handler'),
    import('./proxy-agent.ts'),
  ]);
  // Without extra certificates Node's own default applies, which knows NODE_EXTRA_CA_CERTS too.
  const trust =
    network.extraCertificates.length === 0 ? {} : { ca: [...rootCertificates, ...network.extraCertificates] };
  const agentOptions = { keepAlive: true, maxSockets, ...trust };
  const direct = new Handler({
    ...timeouts,
    httpAgent: new HttpAgent({ keepAlive: true, maxSockets }),
    httpsAgent: new HttpsAgent(agentOptions),
  });
  const proxied = new Map<string, NodeHttpHandler>();

  const handlerFor = (request: Request): NodeHttpHandler => {
    const host =
      request.hostname.includes(':') && !request.hostname.startsWith('[') ? `[${request.hostname}]` : request.hostname;
    const port = request.port === undefined ? '' : `:${request.port}`;
    const proxy = proxyFor(new URL(`${request.protocol}//${host}${port}`), network);
    if (proxy === undefined) return direct;
    const secureEndpoint = request.protocol === 'https:';
    const key = `${request.protocol} ${proxy.href}`;
    let handler = proxied.get(key);
    if (handler === undefined) {
      // A plain HTTP endpoint goes through the proxy as a tunnel too.
      const agent = new HttpsProxyAgent(proxy, agentOptions);
      // Its options are for the connection to the proxy only; these are for the one inside the tunnel. Without being told,
      // agent-base 7 finds out by the call stack whether a request is https, and finds otherwise when a connection
      // becomes free: it is never used again, and requests that wait for one wait for ever (isSecureEndpoint in
      // https://github.com/TooTallNate/proxy-agents/blob/main/packages/agent-base/src/index.ts).
      Object.assign(agent.options, trust, { secureEndpoint });
      handler = new Handler({ ...timeouts, httpAgent: agent, httpsAgent: agent });
      proxied.set(key, handler);
    }
    return handler;
  };

  return {
    metadata: direct.metadata,
    handle: async (request, options) => handlerFor(request).handle(request, options),
    updateHttpClientConfig: (key, value) => {
      direct.updateHttpClientConfig(key, value);
    },
    httpHandlerConfigs: () => direct.httpHandlerConfigs(),
    destroy: () => {
      direct.destroy();
      for (const handler of proxied.values()) handler.destroy();
    },
  };
}
