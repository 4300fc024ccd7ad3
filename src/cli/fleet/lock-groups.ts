import type { CopyRequest } from '../../copy/request.ts';
import type { Lock } from '../../model/lock.ts';

/**
 * Which of a lock's requests belong together: an image and its signatures. They go to one worker: where a registry keeps
 * referrers in a tag, two that write it at the same time would lose one.
 * @param requests as `lockRequests` orders them: the images, then the referrers of each
 */
export function lockGroups(lock: Lock, requests: readonly CopyRequest[]): (request: CopyRequest) => string {
  const owners = [
    ...lock.images.map((_, position) => position),
    ...lock.images.flatMap(({ referrers }, position) => referrers.map(() => position)),
  ];
  const groups = new Map(requests.map((request, position) => [request, `image ${owners[position] ?? position}`]));
  return (request) => groups.get(request) ?? request.artifact;
}
