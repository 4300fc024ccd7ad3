import type { IncomingHttpHeaders } from 'node:http';
import type { RequestClass, RequestFacts } from './request-log.ts';

const apiTarget = 'AmazonEC2ContainerRegistry_V20150921.';
const repositoryPath = /^\/v2\/(.+?)\/(blobs\/uploads|blobs|manifests|referrers|tags)(?:\/(.*))?$/;

/** What a request to a registry server is for. OCI distribution-spec v1.1 "Endpoints", and ECR's JSON 1.1 interface. */
export function classifyRegistryRequest(method: string, url: URL, headers: IncomingHttpHeaders): RequestFacts {
  const target = headers['x-amz-target'];
  if (typeof target === 'string' && target.startsWith(apiTarget)) {
    return { class: 'api', action: target.slice(apiTarget.length) };
  }
  const path = url.pathname;
  if (path === '/v2/' || path === '/v2') return { class: 'ping' };
  if (path === '/token') return { class: 'token' };
  if (path === '/v2/_catalog') return { class: 'catalog' };
  const match = repositoryPath.exec(path);
  const [, repository, kind, rest = ''] = match ?? [];
  if (repository === undefined || kind === undefined) return { class: 'other' };
  const reference = decode(rest);
  return { class: classOf(method, kind, url), repository, reference };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function classOf(method: string, kind: string, url: URL): RequestClass {
  switch (`${method} ${kind}`) {
    case 'HEAD blobs':
      return 'blob-head';
    case 'GET blobs':
      return 'blob-get';
    case 'DELETE blobs':
      return 'blob-delete';
    case 'POST blobs/uploads':
      return url.searchParams.has('mount') ? 'mount' : 'upload-start';
    case 'PATCH blobs/uploads':
      return 'upload-patch';
    case 'PUT blobs/uploads':
      return 'upload-put';
    case 'GET blobs/uploads':
      return 'upload-status';
    case 'DELETE blobs/uploads':
      return 'upload-delete';
    case 'HEAD manifests':
      return 'manifest-head';
    case 'GET manifests':
      return 'manifest-get';
    case 'PUT manifests':
      return 'manifest-put';
    case 'DELETE manifests':
      return 'manifest-delete';
    case 'GET referrers':
      return 'referrers';
    case 'GET tags':
      return 'tags';
    default:
      return 'other';
  }
}
