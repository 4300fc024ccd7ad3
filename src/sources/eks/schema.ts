import * as z from 'zod';
import { ReplicationError } from '../../model/errors.ts';
import { parsePlatform } from '../../model/platform.ts';

/** A value as YAML and JSON know it. */
export type Json = null | boolean | number | string | readonly Json[] | JsonMap;
export interface JsonMap {
  readonly [key: string]: Json;
}

const Text = z.string().min(1, 'is empty');

/** A dotted path. The names that JavaScript treats specially are no chart's values. */
const Path = Text.refine((path) => path.split('.').every((segment) => segment !== '' && segment !== '__proto__'), {
  message: 'is no path (expected names with dots between them, such as image.repository)',
});

/** Where one part of an image reference stands in a chart, or a literal `name`. */
const Field = z
  .strictObject({
    location: z.enum(['values', 'chart']).optional(),
    path: Path.optional(),
    prefix: z.string().optional(),
    subchart: Text.optional(),
    name: Text.optional(),
  })
  .superRefine((field, context) => {
    const complain = (message: string): void => {
      context.addIssue({ code: 'custom', message });
    };
    if (field.name !== undefined) {
      const others = ['location', 'path', 'prefix', 'subchart'].filter((key) => Object.hasOwn(field, key));
      if (others.length > 0) complain(`has \`name\` (a literal) together with ${others.join(', ')}`);
    } else if (field.location === undefined || field.path === undefined) {
      complain('needs `location` (values or chart) and `path`, or `name`');
    }
  });
export type FieldText = z.infer<typeof Field>;

const Remove = z.strictObject({ path: Path, subchart: Text.optional(), location: z.literal('values').optional() });

const Image = z.strictObject({
  registry: Field.optional(),
  repository: Field,
  tag: Field.optional(),
  remove: Remove.optional(),
});
export type ImageText = z.infer<typeof Image>;

/** Text that takes the place of a chart value. May be empty: `registry: ""` says that there is none. */
const Replacement = z.strictObject({
  registry: z.string().optional(),
  repository: Text.optional(),
  tag: z.string().optional(),
});

const Values = z.record(z.string(), z.json());

const PlatformText = Text.superRefine((text, context) => {
  try {
    parsePlatform(text);
  } catch (error) {
    if (!(error instanceof ReplicationError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

const flagWords = new Map([
  ['yes', true],
  ['on', true],
  ['true', true],
  ['no', false],
  ['off', false],
  ['false', false],
]);

/** YAML 1.1, which the original module read, knows `yes` and `on` too. */
const Flag = z.preprocess(
  (value) => (typeof value === 'string' ? flagWords.get(value.toLowerCase()) : value),
  z.boolean(),
);

const Repository = Text.refine((url) => /^(?:https?|oci):\/\/[^/]/.test(url), {
  message: 'is no chart repository (expected https://… or oci://…)',
}).refine((url) => !/^\w+:\/\/[^/]*@/.test(url), {
  // The URL ends up in the published result and in logs.
  message: 'must not hold a user name or password: put them into the secret that HelmRepoSecretName names',
});

const Chart = z.strictObject({
  name: Text.optional(),
  repository: Repository.optional(),
  version: Text.optional(),
  skip: Flag.nullish(),
  images: z.record(Text, Image).nullish(),
  subcharts: z.array(Text).nullish(),
  replication: z.record(Text, Replacement).nullish(),
  values: Values.nullish(),
  profiles: z.record(Text, Values).nullish(),
  platforms: z.array(PlatformText).min(1).nullish(),
  apiVersions: z.array(Text).nullish(),
  conditionalImages: z.literal('copy').nullish(),
});
export type ChartText = z.infer<typeof Chart>;

const shared = {
  charts: z.record(Text, Chart.nullable()).nullish(),
  additional_images: z.record(Text, Text).nullish(),
  platforms: z.array(PlatformText).min(1).nullish(),
  apiVersions: z.array(Text).nullish(),
};

/** `default.yaml`: the charts and where their images stand in their values. */
export const DefaultFile = z.strictObject(shared);

/** `<eks-version>.yaml`: what is different for one version of EKS. */
export const VersionFile = z.strictObject({
  ...shared,
  ami: z.strictObject({ version: Text.nullish() }).nullish(),
  docker_mappings: z
    .record(
      Text,
      Text.refine((target) => /^[^/@\s][^@\s]*$/.test(target) && !target.includes('://'), {
        message: 'is no mapping target (expected host[:port][/path], without https:// and without credentials)',
      }),
    )
    .nullish(),
});

export type DefaultFileText = z.infer<typeof DefaultFile>;
export type VersionFileText = z.infer<typeof VersionFile>;

/** The keys that are known at a place in a data file, for the hint at a mistyped one. Empty where any key is allowed. */
export function knownKeys(path: readonly PropertyKey[], file: 'default' | 'version'): readonly string[] {
  const [section, , group, , part] = path;
  if (path.length === 0) return Object.keys(file === 'default' ? DefaultFile.shape : VersionFile.shape);
  if (section === 'ami') return ['version'];
  if (section !== 'charts') return [];
  if (path.length === 2) return Object.keys(Chart.shape);
  if (group === 'replication' && path.length === 4) return Object.keys(Replacement.shape);
  if (group !== 'images') return [];
  if (path.length === 4) return Object.keys(Image.shape);
  return path.length === 5 ? Object.keys(part === 'remove' ? Remove.shape : Field.shape) : [];
}
