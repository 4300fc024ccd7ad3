import semver from 'semver';
import * as z from 'zod';
import { isReplicationError } from '../../model/errors.ts';
import { parsePlatform, type Platform } from '../../model/platform.ts';
import { isTag } from '../../model/reference.ts';
import { parseInterval } from './interval.ts';
import { tagMatcher, type TagWish } from './select-tags.ts';

/** Turns what a parser throws into an issue of the schema, so that the file's line is told with it. */
function parsedBy<T>(parse: (text: string) => T) {
  return (text: string, context: z.RefinementCtx): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof SyntaxError) && !isReplicationError(error)) throw error;
      const remedy = isReplicationError(error) && error.remedy !== undefined ? `; ${error.remedy}` : '';
      context.addIssue({ code: 'custom', message: `${error.message}${remedy}` });
      return z.NEVER;
    }
  };
}

/** Comma lists, and lists of one entry a line. */
const List = z.string().transform((text) =>
  text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== ''),
);

const Tags = List.superRefine((tags, context) => {
  if (tags.length === 0) context.addIssue({ code: 'custom', message: 'is empty' });
  for (const tag of tags.filter((each) => !isTag(each))) {
    const inline = /\s[#;]/.test(tag) ? '; a comment stands in a line of its own' : '';
    context.addIssue({ code: 'custom', message: `"${tag}" is no tag${inline}` });
  }
});

const Platforms = z.string().transform((text, context): 'all' | readonly Platform[] => {
  const list = List.parse(text);
  if (list.length === 0) return (context.addIssue({ code: 'custom', message: 'is empty' }), z.NEVER);
  if (list.length === 1 && list[0] === 'all') return 'all';
  return list.map((each) => parsedBy(parsePlatform)(each, context));
});

/** Name of an image without tag and digest; a host before it has a key of its own. */
const Image = z
  .string('is missing')
  .min(1, 'is empty')
  .superRefine((image, context) => {
    const [, host, rest] = /^([^\s/@]*:\d+)\/(.*)$/.exec(image) ?? [];
    const message =
      host !== undefined && rest !== undefined
        ? `begins with a registry's host; use the key "registry" for it: registry = ${host}, image = ${rest.replace(/[\s:@].*$/s, '')}`
        : 'has a tag, a digest or blanks in it; use the key "tag"';
    if (/[\s:@]/.test(image)) context.addIssue({ code: 'custom', message });
  });

const Name = z.string().min(1, 'is empty');

/** The keys of a section, each as written; a missing one comes from `[DEFAULT]`. */
export const Section = z
  .strictObject({
    /** Name of the image at its source, and at the target below `project`. */
    image: Image,
    /** One tag or several. */
    tag: Tags.optional(),
    tags: Tags.optional(),
    /** A range of versions instead of tags. */
    semver: z
      .string()
      .refine((text) => semver.validRange(text) !== null, 'is no range of versions such as ^1.27 or >=2 <3')
      .optional(),
    /** `1.27.*-alpine`, or a regular expression between slashes. */
    pattern: Name.transform(parsedBy((text) => (tagMatcher(text), text))).optional(),
    /** How many of the newest tags `semver` and `pattern` take. */
    keep: z
      .string()
      .regex(/^[1-9]\d{0,5}$/, 'is no whole number above 0')
      .transform(Number)
      .optional(),
    /** Path above the image at its source; may begin with a registry's host. */
    'source-repository': Name.optional(),
    /** Host of the source; Docker Hub without it. */
    registry: Name.optional(),
    /** Path above the image at the target. */
    project: Name.optional(),
    platforms: Platforms.optional(),
    refresh: z
      .string()
      .transform(parsedBy((text) => ({ seconds: parseInterval(text) })))
      .optional(),
  })
  .superRefine(({ tag, tags, semver: range, pattern, keep }, context) => {
    const ways = Object.entries({ tag: tag ?? tags, semver: range, pattern }).filter(
      ([, value]) => value !== undefined,
    );
    const [, second] = ways;
    if (second !== undefined)
      context.addIssue({
        code: 'custom',
        path: [second[0]],
        message: `stands beside "${ways[0]?.[0] ?? ''}"; one of tag, semver and pattern says which tags are meant`,
      });
    if (keep !== undefined && range === undefined && pattern === undefined)
      context.addIssue({ code: 'custom', path: ['keep'], message: 'means nothing without semver or pattern' });
  });
export type Section = Readonly<z.infer<typeof Section>>;

/** Without `keep` the newest one: a pattern may match thousands. Without any key `latest`, as docker has it. */
export function tagWish({ tag, tags, semver: range, pattern, keep = 1 }: Section): TagWish {
  if (range !== undefined) return { kind: 'semver', range, keep };
  if (pattern !== undefined) return { kind: 'pattern', pattern, keep };
  const listed = [...new Set([...(tag ?? []), ...(tags ?? [])])];
  return { kind: 'listed', tags: listed.length === 0 ? ['latest'] : listed };
}
