import { isReplicationError } from '../../model/errors.ts';
import { parseReference, type Reference } from '../../model/reference.ts';

/** A stretch of a text that may be an image reference: first and one past its last character (UTF-16 units). */
export interface Candidate {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/**
 * What is known of a string before it is read: `image` when the name of its key, variable or flag says that it names an image,
 * `none` when nothing does. In a text of no kind only references with a host and a tag or digest count.
 */
export type TextContext = 'image' | 'none';

/** The text as an image reference, or `undefined`. The grammar is the one that container runtimes use (model/reference.ts). */
export function asReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (isReplicationError(error, 'configuration')) return undefined;
    throw error;
  }
}

const domain = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}(?::\d{1,5})?$/;
const hostAndPort = /^(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|[a-z0-9-]+):\d{1,5}$/;

/** Names of source and document files: `k8s.io/client-go/tools/cache/reflector.go:229` is a line of a program. */
const fileName =
  /\.(?:c|cc|cpp|crt|css|go|h|html?|ini|java|jpe?g|js|json|key|lock|log|md|pem|php|png|proto|py|rb|rs|sh|sock|sql|svg|toml|ts|txt|xml|ya?ml)$/;

/** `kubernetes.io/os:linux`, `node.kubernetes.io/instance-type:m5`: labels that the project keeps for itself; no registry. */
const labelDomain = /(?:^|\.)kubernetes\.io$/;

/** `node.kubernetes.io/not-ready:NoSchedule` is a taint (https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/). */
const noTag = /^(?:NoSchedule|NoExecute|PreferNoSchedule|true|false|null|undefined)$/;

/** Schemes under which tools name images. Any other scheme is an address of something else. */
const imageSchemes = /^(?:docker|docker-pullable|oci|containerd):\/\//;

const token = /[^\s"'`,;=|<>()[\]{}\\]+/g;

/**
 * Image references in a text. Conservative, as a wrong one would have to be sorted out by asking its registry: addresses
 * with a scheme, paths, host:port, Go modules, file names, taints and labels are none.
 */
export function referencesIn(text: string, context: TextContext): readonly Candidate[] {
  if (!text.includes('/') && !(context === 'image' && text.includes(':'))) return [];
  const known = context === 'image' && !/\S[ \t]+\S/.test(text.trim());
  const found: Candidate[] = [];
  for (const match of text.matchAll(token)) {
    const scheme = imageSchemes.exec(match[0])?.[0].length ?? 0;
    const bare = match[0].slice(scheme).replace(/[.:!?]+$/, '');
    if (bare === '' || bare.includes('://') || !isLikely(bare, known || introduced(text, match.index))) continue;
    const start = match.index + scheme;
    found.push({ text: bare, start, end: start + bare.length });
  }
  return found;
}

/** Whether the text right before says what follows: `image: `, `"fooImage":"`, `--some-image=`, `--image `. */
function introduced(text: string, start: number): boolean {
  const before = text.slice(Math.max(0, start - 60), start);
  const name =
    /([\w.-]+)\\?["']?[ \t]*[:=][ \t]*\\?["']?$/.exec(before)?.[1] ?? /(--[\w-]+)[ \t]+["']?$/.exec(before)?.[1];
  return name !== undefined && namesImage(name);
}

function isLikely(text: string, knownImage: boolean): boolean {
  const reference = asReference(text);
  if (reference === undefined) return false;
  const { registry, repository, tag, digest } = reference;
  if (fileName.test(repository) || (tag !== undefined && noTag.test(tag))) return false;
  if (registry !== undefined && labelDomain.test(registry)) return false;
  if (digest !== undefined) return registry === undefined || isHost(registry);
  if (registry !== undefined && domain.test(registry)) return tag !== undefined || knownImage;
  if (!knownImage) return false;
  if (registry !== undefined) return isHost(registry) && tag !== undefined;
  return repository.includes('/') || tag !== undefined;
}

function isHost(registry: string): boolean {
  return domain.test(registry) || hostAndPort.test(registry);
}

const aboutImages =
  /pull|secret|polic|registr|repositor|repo$|tag$|tags$|digest|version|sha$|size|format|type$|path|dir$|file$|url$|prefix|suffix|enabled|width|height|namespace|arch|platform|user$|mirror|scan|filter|cache/i;

/**
 * Whether a key, an environment variable or a flag is named after an image that it holds: `image`, `sidecarImage`,
 * `RELATED_IMAGE_PROXY`, `--acme-http01-solver-image`, but not `imagePullPolicy` or `IMAGE_TAG`.
 */
export function namesImage(name: string): boolean {
  return /image/i.test(name) && !aboutImages.test(name);
}

const suspicions = [
  /image[\w.-]*\\?["']?\s*[:=]\s*\\?["']?[A-Za-z0-9>|&*!]/i,
  /--[\w-]*image/i,
  /name["']?:\s*["']?\w*image/i,
  /repository\w*\\?["']?\s*[:=]\s*\\?["']?[A-Za-z0-9]/i,
  /name\\?["']?\s*[:=]\s*\\?["']?[A-Za-z0-9.-]+\.[A-Za-z]{2,}(?::\d+)?\//i,
  /[A-Za-z0-9]\.[A-Za-z]{2,}(?::\d+)?\/[\w./-]*[:@]\w/,
  /@sha256:/,
];

/**
 * Whether a document can hold a reference at all. Most of what charts render cannot (roles, services, definitions), and
 * parsing it would take longer than helm does.
 */
export function maySayImage(text: string): boolean {
  return suspicions.some((pattern) => pattern.test(text));
}
