import { ReplicationError } from '../model/errors.ts';

export { objectName, sideObjectName } from '../model/inventory.ts';

const infix = '-dkr-img-rep-md-';
/** S3 user guide, "Bucket naming rules". */
const maxBucketLength = 63;
const accountLength = 12;

/** The project's bucket in a region: the name that the original module gives it. */
export function bucketName(project: string, region: string, account: string): string {
  return `${project}${infix}${region}-${account}`;
}

/**
 * A project's name is the prefix of repositories and of a bucket, so it has to be legal in both.
 * @throws ReplicationError `configuration` (exit status 2) that says which rule it breaks
 */
export function validateProject(project: string, region: string): void {
  const room = maxBucketLength - infix.length - region.length - 1 - accountLength;
  const why = objection(project, room, region);
  if (why === undefined) return;
  throw new ReplicationError('configuration', `project name "${project}" cannot be used: ${why}`, {
    reference: project,
    remedy: `choose a project name of at most ${room} lower-case letters, digits and single hyphens`,
  });
}

function objection(project: string, room: number, region: string): string | undefined {
  if (project === '') return 'it is empty';
  if (/[A-Z]/.test(project)) return 'repositories and buckets have no upper-case letters';
  if (project.includes('_')) return 'bucket names have no underscore';
  // ECR: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*, and a hyphen follows. S3: no two dots, no dot beside a hyphen.
  if (!/^[a-z0-9]+(?:(?:\.|-+)[a-z0-9]+)*$/.test(project))
    return 'it has to begin and end with a letter or digit, with single dots or hyphens between';
  if (/^(?:xn--|sthree-|amzn-s3-demo-)/.test(`${project}-`)) return 'S3 reserves names with this beginning';
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(project)) return 'it looks like an address';
  if (project.length > room)
    return `with "${infix}${region}-" and the account it makes a bucket name of more than ${maxBucketLength} characters`;
  return undefined;
}
