import { ownerTagKey } from '../aws/owner-tag.ts';
import type { Repositories } from '../aws/repositories.ts';
import type { ObjectStore } from '../aws/s3.ts';
import { ReplicationError } from '../model/errors.ts';
import { resultObjectOf } from '../model/inventory.ts';
import { type Deployment, surveyBucket } from './bucket.ts';
import { decideDestroy, type DestroyDecision, type Untag } from './policy.ts';
import { forAll, type FoundRepository, taggedRepositories, withTags } from './tagged.ts';

export type RetentionType = 'RETAIN' | 'DESTROY';

/** @throws ReplicationError `configuration` for anything but RETAIN and DESTROY, in any case; nothing means RETAIN */
export function parseRetentionType(text: string | undefined): RetentionType {
  const type = (text ?? '').trim().toUpperCase();
  if (type === '' || type === 'RETAIN') return 'RETAIN';
  if (type === 'DESTROY') return 'DESTROY';
  throw new ReplicationError('configuration', `RetentionType "${text ?? ''}" is neither RETAIN nor DESTROY`, {
    remedy: 'set it to RETAIN or DESTROY, or leave it out to keep everything',
  });
}

export interface DestroyRequest extends Deployment {
  readonly repositories: Repositories;
  readonly s3: ObjectStore;
  /** The project's bucket (see publish/names.ts). */
  readonly bucket: string;
  readonly retentionType: RetentionType;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Takes a deployment's replication away, as far as nobody else uses it: its tag from repositories that others use, the
 * repositories that are left without an owner, its own objects in the project's bucket, and the bucket when that leaves
 * it empty. May be repeated after a failure, and ends well where nothing was ever deployed.
 * @throws ReplicationErrors with everything that could not be removed; the S3 objects stay then
 */
export async function destroyDeployment(request: DestroyRequest): Promise<void> {
  const { s3, bucket, retentionType, print, signal } = request;
  if (retentionType === 'RETAIN') {
    print('RetentionType is RETAIN: all repositories and the results in S3 are kept');
    return;
  }
  const hasBucket = await s3.bucketExists(bucket, signal);
  const survey = hasBucket ? await surveyBucket(s3, bucket, request, signal) : undefined;
  if (survey !== undefined && survey.unreadable.length > 0) {
    for (const { key, why } of survey.unreadable) print(`s3://${bucket}/${key} cannot be read as ours: ${why}`);
    print(
      'who uses which repository cannot be told, so everything is kept: repositories, their tags and the results in S3',
    );
    print(
      `deploy that module again with this version, or remove the object; \`delete-repos ${request.project}\` removes repositories by hand`,
    );
    return;
  }
  await destroyRepositories(request, survey?.usedBy ?? new Map());
  if (survey === undefined) print(`there is no bucket ${bucket}`);
  else await destroyObjects(request, survey.own);
}

async function destroyRepositories(
  request: DestroyRequest,
  usedBy: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const { repositories: registry, project, print, signal } = request;
  const ownerKey = ownerTagKey(request.deployment, request.module);
  const decide = (repositories: readonly FoundRepository[]): DestroyDecision =>
    decideDestroy({ repositories, project, ownerKey, usedBy });
  const found = await taggedRepositories(registry, project, signal);
  const decision = decide(found);
  const byName = new Map(found.map((each) => [each.name, each]));

  for (const { repository, why } of decision.keep) print(`kept repository ${repository}: ${why}`);
  const untag = async ({ repository, key, value }: Untag): Promise<void> => {
    const known = byName.get(repository);
    if (known === undefined) return;
    if (value === undefined) await registry.untag(known, [key], signal);
    else await registry.tag(known, { [key]: value }, signal);
  };
  const remove = async (name: string): Promise<void> => {
    const known = byName.get(name);
    if (known === undefined) return;
    // Another deployment may have begun to use it since the listing; our tag stays until the repository goes, so that
    // a destroy that is cut off here finds it again.
    const now = await withTags(registry, known, signal);
    const again = decide(now === undefined ? [] : [now]);
    for (const each of again.untag) await untag(each);
    for (const { repository, why } of again.keep) print(`kept repository ${repository}: ${why}`);
    if (!again.delete.includes(name)) return;
    const outcome = await registry.delete(known, signal);
    print(outcome === 'deleted' ? `deleted repository ${name}` : `repository ${name} was gone already`);
  };
  await forAll<() => Promise<void>>(
    [...decision.untag.map((each) => () => untag(each)), ...decision.delete.map((name) => () => remove(name))],
    (step) => step(),
  );
  if (decision.delete.length + decision.untag.length === 0)
    print(`no repository under ${project}- is tagged as owned by ${request.deployment}/${request.module}`);
}

async function destroyObjects({ s3, bucket, print, signal }: DestroyRequest, own: readonly string[]): Promise<void> {
  if (own.length > 0) {
    await s3.delete(
      bucket,
      own.map((key) => ({ key })),
      signal,
    );
    for (const key of [...own].sort()) print(`deleted s3://${bucket}/${key}`);
  }
  const versions = await s3.versions(bucket, signal);
  const inUse = versions.filter((version) => version.current).length;
  if (inUse > 0) {
    print(`kept bucket ${bucket}: ${inUse} objects of other deployments are in it`);
    return;
  }
  const foreign = versions.find((version) => resultObjectOf(version.key) === undefined);
  if (foreign !== undefined) {
    print(`kept bucket ${bucket}: it holds old versions of ${foreign.key}, which is not ours`);
    return;
  }
  // Old versions serve to restore a result of a project that lives; with its last deployment they go too.
  await s3.delete(bucket, versions, signal);
  const outcome = await s3.deleteBucket(bucket, signal);
  print(
    outcome === 'not-empty' ? `kept bucket ${bucket}: another run has just written to it` : `deleted bucket ${bucket}`,
  );
}
