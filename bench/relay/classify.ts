/** Requests of the OCI distribution-spec v1.1, as far as a benchmark tells them apart. */
export const requestKinds = [
  'ping',
  'manifest-head',
  'manifest-get',
  'manifest-put',
  'blob-head',
  'blob-get',
  'mount',
  'upload-start',
  'upload-patch',
  'upload-put',
  'upload-other',
  'tags',
  'referrers',
  'other',
] as const;
export type RequestKind = (typeof requestKinds)[number];

/** @param target as the request line has it: path and query */
export function classify(method: string, target: string): RequestKind {
  const question = target.indexOf('?');
  const path = question < 0 ? target : target.slice(0, question);
  if (path === '/v2/' || path === '/v2') return 'ping';
  const [, kind] = /^\/v2\/.+\/(manifests|blobs|tags|referrers)\/[^/]+$/.exec(path) ?? [];
  if (/\/blobs\/uploads(?:\/[^/]*)?$/.test(path)) return upload(method, question < 0 ? '' : target.slice(question + 1));
  if (kind === 'manifests') return byMethod[method]?.manifest ?? 'other';
  if (kind === 'blobs') return byMethod[method]?.blob ?? 'other';
  if (kind === 'tags' || kind === 'referrers') return kind;
  return 'other';
}

const byMethod: Readonly<Record<string, { readonly manifest: RequestKind; readonly blob: RequestKind } | undefined>> = {
  HEAD: { manifest: 'manifest-head', blob: 'blob-head' },
  GET: { manifest: 'manifest-get', blob: 'blob-get' },
  PUT: { manifest: 'manifest-put', blob: 'other' },
};

function upload(method: string, query: string): RequestKind {
  if (method === 'POST') return /(?:^|&)mount=/.test(query) ? 'mount' : 'upload-start';
  if (method === 'PATCH') return 'upload-patch';
  if (method === 'PUT') return 'upload-put';
  return 'upload-other';
}

/** The same request without the wish to mount: the registry starts an ordinary upload then, as one that cannot mount does. */
export function withoutMount(target: string): string {
  const [path = '', query = ''] = target.split('?', 2);
  const rest = query.split('&').filter((pair) => !/^(?:mount|from)=/.test(pair) && pair !== '');
  return rest.length === 0 ? path : `${path}?${rest.join('&')}`;
}
