import { type Answer, jsonAnswer } from './answer.ts';
import { dataPlaneActions } from './ecr-iam.ts';
import type { Exchange } from './http-host.ts';
import { notFoundPage, ociError } from './oci-error.ts';
import type { Access } from './registry-auth.ts';
import { deleteBlob, getBlob, headBlob } from './registry-blobs.ts';
import type { RegistryContext, RepositoryHandler } from './registry-context.ts';
import { catalog, listReferrers, listTags } from './registry-lists.ts';
import { deleteManifest, getManifest, putManifest } from './registry-manifests.ts';
import { cancelUpload, patchUpload, putUpload, repositoryArn, startUpload, uploadStatus } from './registry-uploads.ts';
import type { RequestClass } from './request-log.ts';

const handlers: Partial<Readonly<Record<RequestClass, RepositoryHandler>>> = {
  'blob-head': headBlob,
  'blob-get': getBlob,
  'blob-delete': deleteBlob,
  'upload-start': startUpload,
  mount: startUpload,
  'upload-patch': patchUpload,
  'upload-put': putUpload,
  'upload-status': uploadStatus,
  'upload-delete': cancelUpload,
  'manifest-head': getManifest,
  'manifest-get': getManifest,
  'manifest-put': putManifest,
  'manifest-delete': deleteManifest,
  tags: listTags,
  referrers: listReferrers,
};

const pulling: readonly RequestClass[] = [
  'blob-head',
  'blob-get',
  'manifest-head',
  'manifest-get',
  'tags',
  'referrers',
];
const deleting: readonly RequestClass[] = ['blob-delete', 'manifest-delete'];

/**
 * Answers a request of the distribution API.
 * @param options.trusted the address itself is the permission (uploads that were sent to the object store)
 */
export async function answerRegistry(
  context: RegistryContext,
  exchange: Exchange,
  options: { readonly trusted?: boolean } = {},
): Promise<Answer> {
  const { entry } = exchange;
  if (entry.class === 'token') return context.auth.token(exchange);
  if (options.trusted !== true) context.auth.check(exchange, accessFor(exchange));
  if (entry.class === 'ping') return jsonAnswer(200, {}, { 'docker-distribution-api-version': 'registry/2.0' });
  if (entry.class === 'catalog') return catalog(context, exchange);
  const handler = handlers[entry.class];
  if (handler === undefined || entry.repository === undefined) {
    throw notFoundPage();
  }
  if (context.manners === 'ecr') checkPermissions(context, exchange, entry.repository);
  return handler(context, exchange, entry.repository, entry.reference ?? '');
}

/** What a token must grant; mounting needs to pull from the other repository too, as with distribution. */
function accessFor(exchange: Exchange): readonly Access[] {
  const { entry, url } = exchange;
  if (entry.repository === undefined) return [];
  if (pulling.includes(entry.class)) return [{ repository: entry.repository, actions: ['pull'] }];
  if (deleting.includes(entry.class)) return [{ repository: entry.repository, actions: ['delete'] }];
  const push = { repository: entry.repository, actions: ['pull', 'push'] };
  const from = url.searchParams.get('from');
  return entry.class === 'mount' && from !== null ? [push, { repository: from, actions: ['pull'] }] : [push];
}

function checkPermissions(context: RegistryContext, exchange: Exchange, repository: string): void {
  for (const action of dataPlaneActions(exchange.entry)) {
    const denied = context.iam.check(action, repositoryArn(context, repository));
    if (denied !== undefined) throw ociError(403, 'DENIED', denied);
  }
}
