import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import { directNetwork } from '../model/network.ts';
import { isPrivateHost } from './addresses.ts';
import { parseChallenges } from './challenge.ts';
import { nextLink } from './link.ts';
import { proxyFor } from '../model/proxy.ts';
import { proxyAuthorization } from './proxy-authorization.ts';
import { follow } from './redirect.ts';
import { retryAfterMs } from './retry-after.ts';
import { testTransport } from './test-host.ts';
import { locationOf, withDigestParameter } from './uploads.ts';

const plain = (header: string | string[]) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe('challenges', () => {
  it.each([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      [
        [
          'bearer',
          { realm: 'https://auth.docker.io/token', service: 'registry.docker.io', scope: 'repository:a/b:pull,push' },
        ],
      ],
    ],
    [
      'Basic realm="a, \\"b\\" = c", Bearer realm=x , service="y",error="invalid_token"',
      [
        ['basic', { realm: 'a, "b" = c' }],
        ['bearer', { realm: 'x', service: 'y', error: 'invalid_token' }],
      ],
    ],
    [
      'Negotiate, NTLM TlRMTVNTUAAC==, BASIC Realm = "r"',
      [
        ['negotiate', {}],
        ['ntlm', {}],
        ['basic', { realm: 'r' }],
      ],
    ],
    [
      'Bearer realm=https://auth.example.com:8443/token?x=y,service=registry, scope="a:b:pull"',
      [['bearer', { realm: 'https://auth.example.com:8443/token?x=y', service: 'registry', scope: 'a:b:pull' }]],
    ],
    ['bearer', [['bearer', {}]]],
    ['', []],
    [',,, Basic realm="unfinished', [['basic', { realm: 'unfinished' }]]],
  ])('reads %s', (header, expected) => expect(plain(header)).toEqual(expected));

  it('reads several headers', () =>
    expect(plain(['Bearer realm="a"', 'Basic realm="b"'])).toEqual([
      ['bearer', { realm: 'a' }],
      ['basic', { realm: 'b' }],
    ]));

  it('gives back whatever was written by the grammar', () => {
    const token = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,8}$/);
    const parameter = fc.tuple(token, fc.string({ unit: 'grapheme-ascii' }));
    const challenge = fc.tuple(
      token,
      fc.uniqueArray(parameter, { minLength: 1, maxLength: 4, selector: ([name]) => name.toLowerCase() }),
    );
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 4 }), (challenges) => {
        const quote = (value: string): string => `"${value.replace(/["\\]/g, '\\$&')}"`;
        const header = challenges
          .map(
            ([scheme, parameters]) =>
              `${scheme} ${parameters.map(([name, value]) => `${name}=${quote(value)}`).join(', ')}`,
          )
          .join(', ');
        const expected = challenges.map(([scheme, parameters]) => [
          scheme.toLowerCase(),
          Object.fromEntries(parameters.map(([name, value]) => [name.toLowerCase(), value])),
        ]);
        expect(plain(header)).toEqual(expected);
      }),
    );
  });

  it('never throws and always ends', () => {
    fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => void parseChallenges(text)));
  });
});

describe('Link', () => {
  it.each([
    ['</v2/a/tags/list?last=b&n=1000>; rel="next"', '/v2/a/tags/list?last=b&n=1000'],
    [
      '<https://h/x>; rel=prev, <https://h/y?a=1,2>; title="a, b; rel=\\"next\\""; rel="last next"',
      'https://h/y?a=1,2',
    ],
    ['<x>;REL=NEXT', 'x'],
    ['<x>; rel="prev"', undefined],
    ['<x>; rel="prev"; rel="next"', undefined],
    ['<x', undefined],
    ['', undefined],
  ])('of %s', (header, expected) => expect(nextLink(header)).toBe(expected));

  it('keeps the address verbatim among others', () => {
    const address = fc.webPath().map((path) => `/v2${path}?next_token=${encodeURIComponent(path)}%3D`);
    fc.assert(
      fc.property(address, fc.array(address, { maxLength: 3 }), (next, others) => {
        const header = [...others.map((other) => `<${other}>; rel="prev"`), `<${next}>; rel="next"`].join(', ');
        expect(nextLink(header)).toBe(next);
      }),
    );
    fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => void nextLink(text)));
  });
});

describe('Location', () => {
  const asked = new URL('https://registry.example.com/v2/a/blobs/uploads/');
  it.each([
    ['/v2/a/blobs/uploads/1', 'https://registry.example.com/v2/a/blobs/uploads/1'],
    ['1?state=a%2Fb', 'https://registry.example.com/v2/a/blobs/uploads/1?state=a%2Fb'],
    ['//other.example.com/x', 'https://other.example.com/x'],
    ['https://storage.example.com:8443/x?y=z', 'https://storage.example.com:8443/x?y=z'],
  ])('%s', (location, expected) => expect(follow(asked, location, directNetwork).href).toBe(expected));

  it.each([
    [undefined, 'corrupt'],
    ['', 'corrupt'],
    ['https://', 'corrupt'],
    ['http://registry.example.com/x', 'refused'],
    ['ftp://registry.example.com/x', 'refused'],
    ['https://user:password@registry.example.com/x', 'refused'],
    ['https://169.254.169.254/latest/meta-data', 'refused'],
    ['https://10.1.2.3/x', 'refused'],
    ['https://127.0.0.1:1/x', 'refused'],
    ['https://[::1]/x', 'refused'],
    ['https://[::ffff:10.0.0.1]/x', 'refused'],
    ['https://2130706433/x', 'refused'],
    ['https://localhost/x', 'refused'],
  ])('%s is %s', (location, code) => {
    expect(() => follow(asked, location, directNetwork)).toThrow(expect.objectContaining({ code }));
  });

  it('follows to private addresses from private ones, and where the user named them', () => {
    const inner = new URL('http://127.0.0.1:5000/');
    expect(follow(inner, 'http://127.0.0.1:6000/x', directNetwork).port).toBe('6000');
    const named = { ...directNetwork, insecureHosts: ['10.1.2.3:9000'] };
    expect(follow(asked, 'http://10.1.2.3:9000/x', named).host).toBe('10.1.2.3:9000');
  });

  it('names no query in an error', () => {
    expect(() => follow(asked, 'https://10.0.0.1/x?X-Amz-Signature=secret', directNetwork)).toThrow(/^(?!.*secret)/);
  });

  it('stays on its host where http and a double slash are corrected', () => {
    const asked = new URL('https://registry.example.com/v2/a/blobs/uploads/');
    const location = 'http://registry.example.com//v2/a/blobs/uploads/1';
    expect(new URL(locationOf(asked, location, { transport: testTransport() })).href).toBe(
      'https://registry.example.com//v2/a/blobs/uploads/1',
    );
  });

  it('gets the digest added without a change to what is there', () => {
    const digest = digestOf('x');
    const query = fc.stringMatching(/^[a-zA-Z0-9%2F=+._-]{0,20}$/).filter((text) => !/%(?![0-9a-fA-F]{2})/.test(text));
    fc.assert(
      fc.property(fc.option(query, { nil: undefined }), (text) => {
        const location = `https://h/v2/a/blobs/uploads/1${text === undefined ? '' : `?${text}`}`;
        const { href, searchParams } = withDigestParameter(location, digest);
        expect(href.startsWith(location)).toBe(true);
        expect(searchParams.get('digest')).toBe(digest);
        expect(href.slice(location.length)).toMatch(/^[?&]?digest=sha256:[0-9a-f]{64}$/);
      }),
    );
  });
});

describe('private hosts', () => {
  it.each([
    '10.0.0.1',
    '172.31.255.255',
    '192.168.0.1',
    '169.254.169.254',
    '127.9.9.9',
    '0.0.0.0',
    '100.64.0.1',
    '[::1]',
    '[fe80::1]',
    '[fd00:ec2::254]',
    'localhost',
    'a.localhost',
  ])('%s is one', (host) => expect(isPrivateHost(host)).toBe(true));
  it.each(['8.8.8.8', '172.32.0.1', '100.128.0.1', '[2606:4700::1]', 'quay.io', '10.example.com'])(
    '%s is none',
    (host) => expect(isPrivateHost(host)).toBe(false),
  );
});

describe('Retry-After', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  it.each([
    ['3', 3_000],
    ['0', undefined],
    ['0.5', 500],
    ['86400', 60_000],
    ['Thu, 01 Jan 2026 00:00:20 GMT', 20_000],
    ['Wed, 31 Dec 2025 23:59:00 GMT', undefined],
    ['208.569µs', undefined],
    ['-1', undefined],
    ['soon', undefined],
    ['', undefined],
  ])('%s', (header, expected) => expect(retryAfterMs(header, now)).toBe(expected));
});

describe('proxies', () => {
  const network = { ...directNetwork, httpsProxy: 'http://proxy:3128', httpProxy: 'proxy2:3128' };
  const through = (url: string, noProxy?: string): string | undefined =>
    proxyFor(new URL(url), { ...network, noProxy })?.host;

  it('are chosen by scheme', () => {
    expect(through('https://quay.io/v2/')).toBe('proxy:3128');
    expect(through('http://quay.io/v2/')).toBe('proxy2:3128');
    expect(proxyFor(new URL('https://quay.io'), directNetwork)).toBeUndefined();
  });

  it.each(['https://localhost:1/', 'http://127.0.0.1:1/', 'http://[::1]:1/', 'https://a.localhost/'])(
    'are not used for %s',
    (url) => expect(through(url)).toBeUndefined(),
  );

  it.each([
    ['https://a.example.com/', 'example.com', true],
    ['https://a.example.com/', '.example.com', true],
    ['https://a.example.com/', '*.example.com', true],
    ['https://badexample.com/', 'example.com', false],
    ['https://a.example.com/', 'x, EXAMPLE.com y', true],
    ['https://a.example.com/', 'a.example.com:443', true],
    ['https://a.example.com:8443/', 'a.example.com:443', false],
    ['https://a.example.com/', '*', true],
    ['https://10.1.2.3/', '10.0.0.0/8', true],
    ['https://11.1.2.3/', '10.0.0.0/8', false],
    ['https://10.1.2.3/', '10.1.2.3', true],
    ['https://[fd00::1]/', 'fd00::/8', true],
    ['https://[fd00::1]/', '[fd00::1]:443', true],
    ['https://[fd00::1]/', 'fd00::1', true],
    ['https://10.1.2.3/', '10.0.0.0/99', false],
    ['https://a.example.com/', '', false],
  ])('%s with NO_PROXY=%s: direct is %s', (url, noProxy, direct) =>
    expect(through(url, noProxy) === undefined).toBe(direct),
  );

  it('get their userinfo as Basic', () => {
    expect(proxyAuthorization(new URL('http://user:p%40ss@proxy'))).toBe(`Basic ${btoa('user:p@ss')}`);
    expect(proxyAuthorization(new URL('http://user@proxy'))).toBe(`Basic ${btoa('user:')}`);
    expect(proxyAuthorization(new URL('http://proxy'))).toBeUndefined();
  });
});
