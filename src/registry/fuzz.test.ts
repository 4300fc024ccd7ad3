import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { digestOf, parseDigest } from '../model/digest.ts';
import { type ErrorCode, ReplicationError } from '../model/errors.ts';
import { parseManifest } from '../model/manifest.ts';
import { isImageManifestType, isIndexType, mediaTypes } from '../model/media-types.ts';
import { directNetwork } from '../model/network.ts';
import { formatPlatform, parsePlatform } from '../model/platform.ts';
import { formatLocation, locate, looksLikeRegistry, parseReference } from '../model/reference.ts';
import { checkTargetRepository, splitTarget, targetReference } from '../model/target-name.ts';
import { parseChallenges } from './challenge.ts';
import { nextLink } from './link.ts';
import { checkRealm } from './realm.ts';
import { follow } from './redirect.ts';
import { isLongRetryAfter, retryAfterMs } from './retry-after.ts';
import { testTransport } from './test-host.ts';
import { locationOf, withDigestParameter } from './uploads.ts';

// Whatever a registry or a user writes: every parser answers or throws the error that it promises, and soon.

const options = { seed: 20260104, numRuns: 200 };
const transport = testTransport();
afterAll(() => transport.close());

const registryUrl = new URL('https://registry.example.com/v2/a/blobs/uploads/');
const now = Date.parse('2026-01-01T00:00:00Z');

interface Parser {
  readonly name: string;
  readonly parse: (text: string) => unknown;
  /** What it may throw; nothing else. */
  readonly codes: readonly ErrorCode[];
}

const asManifest =
  (mediaType: string) =>
  (text: string): unknown =>
    parseManifest(Buffer.from(text), mediaType);

const parsers: readonly Parser[] = [
  { name: 'challenges', parse: parseChallenges, codes: [] },
  { name: 'Link', parse: nextLink, codes: [] },
  { name: 'Retry-After', parse: (text) => retryAfterMs(text, now), codes: [] },
  { name: 'long Retry-After', parse: (text) => isLongRetryAfter(text, now), codes: [] },
  { name: 'Location', parse: (text) => follow(registryUrl, text, directNetwork), codes: ['corrupt', 'refused'] },
  {
    name: 'upload Location',
    parse: (text) => withDigestParameter(locationOf(registryUrl, text, { transport }), digestOf('x')),
    codes: ['corrupt', 'refused'],
  },
  { name: 'realm', parse: (text) => checkRealm(text, registryUrl, directNetwork), codes: ['refused'] },
  { name: 'reference', parse: (text) => locate(parseReference(text)), codes: ['configuration'] },
  { name: 'target', parse: splitTarget, codes: [] },
  { name: 'target name', parse: (text) => targetReference('registry.example.com/app-', text), codes: [] },
  { name: 'target repository', parse: checkTargetRepository, codes: ['configuration'] },
  { name: 'platform', parse: parsePlatform, codes: ['configuration'] },
  { name: 'digest', parse: parseDigest, codes: ['corrupt'] },
  { name: 'manifest', parse: asManifest(mediaTypes.ociManifest), codes: ['corrupt', 'unsupported'] },
  { name: 'index', parse: asManifest(mediaTypes.dockerManifestList), codes: ['corrupt', 'unsupported'] },
  { name: 'document of another type', parse: asManifest('application/json'), codes: ['corrupt', 'unsupported'] },
];

/** Throws what the parser must not throw. */
function tryParse({ parse, codes }: Parser, text: string): void {
  try {
    parse(text);
  } catch (error) {
    if (!(error instanceof ReplicationError)) throw error;
    expect(codes).toContain(error.code);
  }
}

/** Pieces out of which all these grammars are made, so that random texts get past the first character. */
const pieces = [
  ...['"', '\\', '\\"', ',', ';', '=', ' ', '\t', '<', '>', '/', '//', '?', '#', ':', '@', '.', '-', '_', '__', '%', '[', ']'],
  ...['{', '}', 'a', 'Z', '0', '9', 'é', '\u0000', '\n', '\r\n', '\ud800', '\u2028', '..', '%2e', '%zz', '::1', '[::1]'],
  ...['Bearer ', 'Basic ', 'realm=', 'rel=', 'rel="next"', 'http:', 'https://', 'user:pw@', '127.0.0.1', 'localhost', 'registry.example.com'],
  ...['sha256:', '0'.repeat(64), 'latest', 'Thu, 01 Jan 2026 00:00:20 GMT', '1e400', '-1', 'NaN', 'null', '"layers":', '[]', '__proto__'],
]; // prettier-ignore
const anyText = fc.oneof(
  fc.array(fc.constantFrom(...pieces), { maxLength: 24 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 60 }),
);

/** Milliseconds of this process's own computing: a machine that is busy with others takes none of them. */
function computingMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

describe.each(parsers)('$name', (parser) => {
  it('answers, or throws what it promises', () => {
    fc.assert(
      fc.property(anyText, (text) => tryParse(parser, text)),
      { ...options, numRuns: 600 },
    );
  });

  // Of 100,000 characters a quadratic search makes some 10^10 steps, which takes more than ten seconds.
  it('takes linear time on long hostile texts', () => {
    const piece = fc.constantFrom(...pieces);
    const unit = fc.array(piece, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(piece, unit, fc.constantFrom('', '"', '>', '!', '=', ' x', ':tag'), (start, repeated, end) => {
        const text = start + repeated.repeat(Math.ceil(100_000 / repeated.length)) + end;
        expect(computingMs(() => tryParse(parser, text))).toBeLessThan(2_000);
      }),
      { ...options, numRuns: 60 },
    );
  });
});

describe('references', () => {
  const word = fc.stringMatching(/^[a-z0-9]{1,6}$/);
  const segment = fc
    .tuple(word, fc.array(fc.tuple(fc.constantFrom('.', '_', '__', '-', '---'), word), { maxLength: 2 }))
    .map(([first, rest]) => first + rest.flat().join(''));
  const host = fc.oneof(
    fc.tuple(fc.domain(), fc.option(fc.integer({ min: 1, max: 65_535 }))).map(withPort),
    fc.tuple(fc.constantFrom('localhost', '10.1.2.3', '[::1]', 'docker.io', 'index.docker.io'), fc.constant(null)).map(withPort),
    fc.tuple(word, fc.integer({ min: 1, max: 65_535 })).map(withPort),
  ); // prettier-ignore
  const parts = fc
    .record({
      registry: fc.option(host, { nil: undefined }),
      repository: fc.array(segment, { minLength: 1, maxLength: 3 }).map((segments) => segments.join('/')),
      tag: fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/), { nil: undefined }),
      digest: fc.option(
        fc.string().map((text) => digestOf(text, text.length % 2 === 0 ? 'sha256' : 'sha512')),
        { nil: undefined },
      ),
    })
    // Without a registry the first segment must not look like one: the grammar cannot tell them apart.
    .filter(({ registry, repository }) => {
      const [first = '', ...rest] = repository.split('/');
      return registry !== undefined || rest.length === 0 || !looksLikeRegistry(first);
    });

  function withPort([name, port]: [string, number | null]): string {
    return port === null ? name : `${name}:${port}`;
  }

  it('are read as they were written', () => {
    fc.assert(
      fc.property(parts, (reference) => {
        const { registry, repository, tag, digest } = reference;
        const text = `${registry === undefined ? '' : `${registry}/`}${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
        expect(parseReference(text)).toEqual(reference);
      }),
      options,
    );
  });

  it('mean the same after they were spelled out', () => {
    fc.assert(
      fc.property(parts, (reference) => {
        const location = locate(reference);
        expect(locate(parseReference(formatLocation(location)))).toEqual(location);
      }),
      options,
    );
  });

  it('become target names that are taken apart into the same repository and tag', () => {
    fc.assert(
      fc.property(parts, (reference) => {
        const text = formatLocation(locate(reference));
        const target = splitTarget(targetReference('registry.example.com/app-', text));
        const { repository, reference: wanted } = locate(reference);
        expect(target.host).toBe('registry.example.com');
        expect(target.repository.endsWith(`/${repository}`)).toBe(true);
        expect(target.digest ?? target.tag).toBe(wanted);
      }),
      options,
    );
  });
});

describe('platforms', () => {
  it('are read as they are printed', () => {
    const name = fc.stringMatching(/^[a-z0-9._]{1,8}$/);
    const platform = fc.record(
      { os: name, architecture: name, variant: name },
      { requiredKeys: ['os', 'architecture'] },
    );
    fc.assert(
      fc.property(platform, (each) => {
        expect(parsePlatform(formatPlatform(each))).toEqual(each);
      }),
      options,
    );
  });
});

describe('manifests', () => {
  const digest = fc.string().map((text) => digestOf(text));
  const annotationName = fc.string({ maxLength: 12 }).filter((name) => name !== '__proto__');
  const annotations = fc.dictionary(annotationName, fc.string({ maxLength: 12 }), {
    noNullPrototype: true,
    maxKeys: 3,
  });
  const descriptor = fc.record(
    {
      mediaType: fc.constantFrom(...Object.values(mediaTypes), 'text/plain'),
      digest,
      size: fc.maxSafeNat(),
      urls: fc.array(fc.webUrl(), { maxLength: 2 }),
      annotations,
      'x-foreign': fc.jsonValue(),
    },
    { requiredKeys: ['mediaType', 'digest', 'size'] },
  );
  const common = { schemaVersion: fc.constant(2), annotations, subject: descriptor, artifactType: fc.string() };
  const image = fc.record(
    { ...common, config: descriptor, layers: fc.array(descriptor, { maxLength: 4 }) },
    { requiredKeys: ['schemaVersion', 'config', 'layers'] },
  );
  const index = fc.record(
    { ...common, manifests: fc.array(descriptor, { maxLength: 4 }) },
    { requiredKeys: ['schemaVersion', 'manifests'] },
  );
  const imageType = fc.constantFrom(mediaTypes.ociManifest, mediaTypes.dockerManifest);
  const indexType = fc.constantFrom(mediaTypes.ociIndex, mediaTypes.dockerManifestList);
  const bytesOf = (json: unknown): Uint8Array => Buffer.from(JSON.stringify(json));

  it('of images are read as they were written', () => {
    fc.assert(
      fc.property(image, imageType, fc.boolean(), (json, type, says) => {
        const read = parseManifest(bytesOf(says ? { ...json, mediaType: type } : json), type);
        const { config, layers, subject, artifactType, annotations: notes = {} } = plain(json);
        expect(read).toEqual({
          kind: 'image',
          mediaType: type,
          config,
          layers,
          subject,
          artifactType,
          annotations: notes,
        });
      }),
      options,
    );
  });

  it('of indexes are read as they were written', () => {
    fc.assert(
      fc.property(index, indexType, fc.boolean(), (json, type, says) => {
        const read = parseManifest(bytesOf(says ? { ...json, mediaType: type } : json), type);
        const { manifests, subject, artifactType, annotations: notes = {} } = plain(json);
        expect(read).toEqual({ kind: 'index', mediaType: type, manifests, subject, artifactType, annotations: notes });
      }),
      options,
    );
  });

  /** As it is after a way through JSON (`-0`, for one, does not survive it). */
  function plain<T>(value: T): T {
    return structuredClone(JSON.parse(JSON.stringify(value))) as T;
  }

  it('that something was done to are understood or refused, and nothing is made up', () => {
    const damage = fc.record({
      at: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
      how: fc.oneof(
        fc.constant('delete' as const),
        fc.jsonValue({ maxDepth: 2 }).map((value) => ({ value })),
      ),
    });
    const type = fc.constantFrom(...Object.values(mediaTypes), 'application/json', 'application/vnd.example', '');
    fc.assert(
      fc.property(fc.oneof(image, index), fc.array(damage, { maxLength: 3 }), type, (json, damages, mediaType) => {
        const bytes = bytesOf(damages.reduce<unknown>((value, { at, how }) => damaged(value, at, how), json));
        checkView(bytes, mediaType);
      }),
      { ...options, numRuns: 1_000 },
    );
  });

  it('with bytes changed, cut or added are understood or refused', () => {
    const change = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(fc.oneof(image, index), fc.array(change, { maxLength: 4 }), fc.option(fc.nat()), (json, changes, cut) => {
        const bytes = Buffer.from(bytesOf(json));
        for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
        checkView(cut === null ? bytes : bytes.subarray(0, cut % bytes.length), mediaTypes.ociManifest);
      }),
      options,
    ); // prettier-ignore
  });

  it.each([
    ['nested deeper than any stack', '['.repeat(2_000_000)],
    ['nested in a property', `{"schemaVersion":2,"manifests":${'{"a":'.repeat(500_000)}1${'}'.repeat(500_000)}}`],
    ['of 50,000 wrong entries', JSON.stringify({ schemaVersion: 2, manifests: Array(50_000).fill({ digest: 'x' }) })],
    ['of one long name', JSON.stringify({ schemaVersion: 3, ['a'.repeat(4_000_000)]: 1 })],
  ])('that are hostile are refused: %s', (_name, text) => {
    const parse = (): unknown => parseManifest(Buffer.from(text), mediaTypes.ociIndex);
    expect(computingMs(() => expect(parse).toThrow(ReplicationError))).toBeLessThan(4_000);
  });

  function checkView(bytes: Uint8Array, mediaType: string): void {
    let view;
    try {
      view = parseManifest(bytes, mediaType);
    } catch (error) {
      if (!(error instanceof ReplicationError)) throw error;
      expect(['corrupt', 'unsupported']).toContain(error.code);
      return;
    }
    const isKind = view.kind === 'index' ? isIndexType : isImageManifestType;
    expect(isKind(view.mediaType)).toBe(true);
    // What it was served as stands, where that says anything.
    if (isIndexType(mediaType) || isImageManifestType(mediaType)) expect(view.mediaType).toBe(mediaType);
    const text = Buffer.from(bytes).toString('utf8');
    const descriptors = view.kind === 'index' ? view.manifests : [view.config, ...view.layers];
    for (const each of [...descriptors, ...(view.subject === undefined ? [] : [view.subject])]) {
      expect(parseDigest(each.digest)).toBe(each.digest);
      expect(text).toContain(each.digest);
      expect(Number.isSafeInteger(each.size) && each.size >= 0).toBe(true);
    }
  }

  /** A copy in which the place that the numbers lead to (a child a step) is another, or gone. */
  function damaged(value: unknown, at: readonly number[], how: 'delete' | { readonly value: unknown }): unknown {
    const [step = 0, ...rest] = at;
    if (typeof value !== 'object' || value === null) return how === 'delete' ? null : how.value;
    const entries = Object.entries(value);
    const chosen = entries.length === 0 ? 0 : step % entries.length;
    const changed = entries.flatMap(([name, child], position): [string, unknown][] => {
      if (position !== chosen) return [[name, child]];
      if (rest.length > 0) return [[name, damaged(child, rest, how)]];
      return how === 'delete' ? [] : [[name, how.value]];
    });
    return Array.isArray(value) ? changed.map(([, child]) => child) : Object.fromEntries(changed);
  }
});

describe('headers', () => {
  it('Retry-After as a date is the time until then, as seconds the same', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), (seconds) => {
        expect(retryAfterMs(new Date(now + seconds * 1000).toUTCString(), now)).toBe(seconds * 1000);
        expect(retryAfterMs(String(seconds), now)).toBe(seconds * 1000);
      }),
      options,
    );
  });

  it('Retry-After never asks for a pause that is no number, negative, or longer than a minute', () => {
    const header = fc.oneof(
      anyText,
      fc.double().map(String),
      fc.bigInt({ min: -(10n ** 400n), max: 10n ** 400n }).map(String),
      fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    );
    fc.assert(
      fc.property(header, (text) => {
        const pause = retryAfterMs(text, now);
        expect(pause === undefined || (pause > 0 && pause <= 60_000)).toBe(true);
      }),
      { ...options, numRuns: 1_000 },
    );
  });

  it('Link gives back an address that stands in it, and only for rel=next', () => {
    fc.assert(
      fc.property(anyText, anyText, (before, inside) => {
        const found = nextLink(`${before}, <${inside}>; rel="next"`);
        if (found !== undefined) expect(`${before}, <${inside}>`).toContain(found);
        expect(nextLink(`<${inside.replaceAll('>', '')}>; rel="prev"`)).toBeUndefined();
      }),
      options,
    );
  });

  it('Location leads to no place that is refused, however it is written', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        let to: URL;
        try {
          to = follow(registryUrl, text, directNetwork);
        } catch {
          return;
        }
        expect(to.protocol).toBe('https:');
        expect(to.username + to.password).toBe('');
        expect(to.hostname).not.toMatch(/^(?:localhost|127\.|10\.|169\.254\.|\[::1\]|0\.)/);
      }),
      { ...options, numRuns: 2_000 },
    );
  });

  it('the address of an upload keeps its host, path and query, whichever form it has', () => {
    // A slash at the start of the path would make it a host in a relative form, so that one is left out.
    const path = fc
      .stringMatching(/^\/v2\/[a-z0-9%2F=_.-]{1,20}$/)
      .filter((text) => !/%(?![0-9a-fA-F]{2})|\/\./.test(text));
    const query = fc.stringMatching(/^(?:\?[a-zA-Z0-9=&+._-]{0,20})?$/);
    fc.assert(
      fc.property(path, query, (session, search) => {
        const absolute = `https://registry.example.com${session}${search}`;
        const forms = [
          session + search,
          absolute,
          `//registry.example.com${session}${search}`,
          absolute.replace('https', 'http'),
        ];
        for (const form of forms) {
          const url = withDigestParameter(locationOf(registryUrl, form, { transport }), digestOf('x'));
          expect(url.href.startsWith(new URL(absolute).href.replace(/\?$/, ''))).toBe(true);
          expect(url.searchParams.get('digest')).toBe(digestOf('x'));
        }
      }),
      options,
    );
  });
});
