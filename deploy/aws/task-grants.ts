import type { Grant } from './roles.ts';

/** Why objects of runs are named by a wildcard. */
export const runsReason = 'every run has a folder of its own';

/** Why sources of lists are not named. */
export const listedReason =
  'reading only; which repositories, of whose account, stands in the list, and their policies decide';

/** Why repositories at the destination are named by their prefix. */
export const destinationReason = 'repositories are made as they are needed, all beginning with the prefix';

/** Pulling. */
export const reading = ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'];

/** Every task reports by its token. */
export const taskToken: Grant = {
  Sid: 'TaskToken',
  Action: ['states:SendTaskFailure', 'states:SendTaskHeartbeat', 'states:SendTaskSuccess'],
  // https://docs.aws.amazon.com/service-authorization/latest/reference/list_stepfunctions.html
  Resource: '*',
  wildcard: 'the actions take no resource; the token, which only this task has, says what they are about',
};

/** Opening registries. */
export const registryToken: Grant = {
  Sid: 'Registry',
  Action: ['ecr:GetAccountSetting', 'ecr:GetAuthorizationToken'],
  Resource: '*',
  wildcard: "the actions take no resource: the token is the caller's, the setting the registry's",
};

/** Finding out which repositories there are. */
export function everyRepository(Resource: string): Grant {
  return {
    Sid: 'ListRepositories',
    Action: ['ecr:DescribeRepositories'],
    Resource,
    wildcard: 'listing what there is: ECR cannot filter by prefix',
  };
}

/** Pushing, and finding out what is there already. */
export function pushGrant(Resource: string): Grant {
  return {
    Sid: 'Destination',
    Action: [
      'ecr:BatchCheckLayerAvailability',
      'ecr:BatchGetImage',
      'ecr:CompleteLayerUpload',
      'ecr:CreateRepository',
      'ecr:GetDownloadUrlForLayer',
      'ecr:InitiateLayerUpload',
      'ecr:ListImages',
      'ecr:PutImage',
      'ecr:UploadLayerPart',
    ],
    Resource,
    wildcard: destinationReason,
  };
}

/** Jobs whose repositories say where they come from, or whose they are. */
export function tagGrant(Resource: string): Grant {
  return { Sid: 'Tags', Action: ['ecr:ListTagsForResource', 'ecr:TagResource'], Resource, wildcard: destinationReason };
}
