import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { cancellation } from './cancelled.ts';
import { ProxyRefusal } from './tunnel.ts';

/** What went wrong below HTTP. */
export interface NetworkFailure {
  readonly error: ReplicationError;
  /** Whether trying again may help. */
  readonly transient: boolean;
}

/** The other side seems not to speak the protocol that was tried: TLS where we sent plain text, or the other way round. */
export class ProtocolMismatch extends ReplicationError {}

interface Context {
  readonly host: string;
  readonly what: string;
  readonly signal: AbortSignal;
}

const certificateCodes = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'UND_ERR_PRX_TLS',
  'CERT_SIGNATURE_FAILURE',
  'INVALID_CA',
  'HOSTNAME_MISMATCH',
]);

const phrases: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name is not known (DNS)',
  EAI_AGAIN: 'the name server did not answer (DNS)',
  EAI_FAIL: 'the name server failed (DNS)',
  EAI_NODATA: 'its name has no address (DNS)',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed while sending',
  ECONNABORTED: 'the connection was aborted',
  ETIMEDOUT: 'the connection timed out',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to the network',
  EADDRNOTAVAIL: 'no local address is available',
  EMFILE: 'too many open files',
  EPROTO: 'the TLS handshake failed',
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_HEADERS_TIMEOUT: 'no answer came in time',
  UND_ERR_BODY_TIMEOUT: 'the transfer stalled',
  UND_ERR_SOCKET: 'the connection was closed',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the answer was cut short',
  UND_ERR_HEADERS_OVERFLOW: 'the answer has too many headers',
  UND_ERR_DESTROYED: 'the connection pool was closed',
  UND_ERR_CLOSED: 'the connection pool was closed',
};

/**
 * Puts a failure of DNS, TCP, TLS or a proxy into words. `undefined` when the error is not of the network: then it
 * belongs to the body that was being sent and is thrown as it is.
 */
export function networkFailure(error: unknown, context: Context): NetworkFailure | undefined {
  if (context.signal.aborted) return { error: cancellation(context.signal), transient: false };
  if (isReplicationError(error)) return undefined;
  const innermost = unwrap(error);
  const code = codeOf(innermost);
  const fail = (why: string, remedy?: string, transient = true, wrongProtocol = false): NetworkFailure => ({
    error: new (wrongProtocol ? ProtocolMismatch : ReplicationError)(
      'unreachable',
      `${context.host}: ${why} (${context.what})`,
      { host: context.host, remedy, cause: innermost },
    ),
    transient,
  });
  const proxied = proxyStatus(innermost);
  if (proxied !== undefined) return proxyFailure(proxied, fail);
  // undici's parser error has a code HPE_… in some versions only.
  if (innermost instanceof Error && innermost.name === 'HTTPParserError')
    return fail('its answer is not HTTP', undefined, true, true);
  if (code === undefined) return undefined;
  if (certificateCodes.has(code)) {
    return fail(
      `its certificate is not trusted: ${messageOf(innermost)}`,
      certificateRemedy(code, context.host),
      false,
    );
  }
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') {
    const notTls = isNotTls(code, innermost);
    const remedy = notTls
      ? `if ${context.host} speaks plain HTTP only, allow that with --insecure-host ${context.host}`
      : undefined;
    // Who does not speak TLS does not learn it meanwhile.
    return fail(`the TLS handshake failed: ${messageOf(innermost)}`, remedy, !notTls, notTls);
  }
  const phrase = phrases[code];
  if (phrase === undefined) return undefined;
  return fail(phrase, remedyFor(code, context.host), !code.startsWith('UND_ERR_DES') && !code.startsWith('UND_ERR_CLO'), isReset(code)); // prettier-ignore
}

function isReset(code: string): boolean {
  return code === 'ECONNRESET' || code === 'UND_ERR_SOCKET' || code === 'EPIPE';
}

/** "wrong version number", "packet length too long", "unknown protocol": the bytes that came back are no TLS record. */
function isNotTls(code: string, error: unknown): boolean {
  return /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|HTTP_REQUEST|wrong version number|packet length too long/i.test(
    `${code} ${messageOf(error)}`,
  );
}

function certificateRemedy(code: string, host: string): string {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH')
    return `something else answers under this name: check the spelling of ${host}, the name server and HTTPS_PROXY`;
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return `have the certificate of ${host} renewed, or correct the clock of this machine`;
  return 'put the certificate of the authority that signed it into a file and name that in NODE_EXTRA_CA_CERTS';
}

function remedyFor(code: string, host: string): string | undefined {
  if (code === 'ENOTFOUND' || code.startsWith('EAI_'))
    return `check the spelling of ${host}, the name server and HTTPS_PROXY`;
  if (code === 'ECONNREFUSED' || code === 'ETIMEDOUT' || code === 'UND_ERR_CONNECT_TIMEOUT' || code.endsWith('UNREACH'))
    return `check that ${host} can be reached from here (security groups, NAT, HTTPS_PROXY)`;
  return `run again: what was copied is kept; if it stays, check ${host} and the proxies and firewalls on the way to it`;
}

function proxyFailure(
  status: number,
  fail: (why: string, remedy?: string, transient?: boolean) => NetworkFailure,
): NetworkFailure {
  if (status === 407)
    return fail(
      'the proxy wants credentials (407)',
      'put user and password into the proxy address in HTTPS_PROXY',
      false,
    );
  return fail(
    `the proxy refused the connection (${status})`,
    'check what the proxy in HTTPS_PROXY allows, or list the host in NO_PROXY',
    status >= 500 || status === 429,
  );
}

function proxyStatus(error: unknown): number | undefined {
  if (error instanceof ProxyRefusal) return error.status;
  if (messageOf(error) === 'Proxy Authentication Required (407)') return 407; // undici Http1ProxyWrapper
  return undefined;
}

/** Happy eyeballs fails with all attempts in one AggregateError: the first tells most. */
function unwrap(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) {
    const inner: unknown = error.errors[0];
    return inner;
  }
  if (error instanceof Error && codeOf(error) === 'UND_ERR_PRX_TLS' && error.cause !== undefined) return error.cause;
  return error;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
