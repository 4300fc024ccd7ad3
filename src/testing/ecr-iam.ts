import type { RequestFacts } from './request-log.ts';

/** An IAM statement, as far as this server understands policies: wildcards, no conditions. */
export interface PolicyStatement {
  readonly effect: 'Allow' | 'Deny';
  readonly actions: readonly string[];
  readonly resources: readonly string[];
}

/** One permission that a request needed. */
export interface UsedPermission {
  readonly action: string;
  readonly resource: string;
}

/** Records every permission that requests need, and enforces policies where a test sets some. */
export interface Iam {
  /** Permissions needed so far, each once, sorted. */
  used(): readonly UsedPermission[];
  /** AWS's message when the permission is missing; `undefined` when it is granted. Records it in any case. */
  check(action: string, resource: string): string | undefined;
  /** Replaces the policy. `undefined` allows everything. Without an Allow statement everything not denied is allowed. */
  setPolicy(statements: readonly PolicyStatement[] | undefined): void;
  reset(): void;
}

/** @param principal ARN that messages name, such as `arn:aws:sts::123456789012:assumed-role/role/session` */
export function createIam(principal: string, policy?: readonly PolicyStatement[]): Iam {
  const used = new Map<string, UsedPermission>();
  let statements = policy;
  return {
    used: () => [...used.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, permission]) => permission),
    check(action, resource) {
      used.set(`${action} ${resource}`, { action, resource });
      if (statements === undefined) return undefined;
      const applying = statements.filter(
        (each) =>
          each.actions.some((pattern) => wildcard(pattern.toLowerCase(), action.toLowerCase())) &&
          each.resources.some((pattern) => wildcard(pattern, resource)),
      );
      // Wording of AWS's access denied messages:
      // https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
      const message = `User: ${principal} is not authorized to perform: ${action} on resource: ${resource}`;
      if (applying.some((each) => each.effect === 'Deny'))
        return `${message} with an explicit deny in an identity-based policy`;
      const allowListed = statements.some((each) => each.effect === 'Allow');
      if (!allowListed || applying.some((each) => each.effect === 'Allow')) return undefined;
      return `${message} because no identity-based policy allows the ${action} action`;
    },
    setPolicy(next) {
      statements = next;
    },
    reset() {
      used.clear();
    },
  };
}

/** `*` and `?` as in IAM and in ECR's exclusion filters. */
export function wildcard(pattern: string, text: string): boolean {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${escaped}$`, 's').test(text);
}

/**
 * The IAM actions behind a request to ECR's distribution API.
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html; referrers by analogy with the API
 * operation of that name, which needs BatchGetImage (https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html).
 * Mounting also needs GetDownloadUrlForLayer at its source, which the mount handler checks.
 */
export function dataPlaneActions(facts: RequestFacts): readonly string[] {
  switch (facts.class) {
    case 'blob-head':
      return ['ecr:BatchCheckLayerAvailability'];
    case 'blob-get':
      return ['ecr:GetDownloadUrlForLayer'];
    case 'upload-start':
    case 'mount':
      return ['ecr:InitiateLayerUpload'];
    case 'upload-patch':
      return ['ecr:UploadLayerPart'];
    case 'upload-put':
      return ['ecr:UploadLayerPart', 'ecr:CompleteLayerUpload'];
    case 'manifest-head':
    case 'manifest-get':
    case 'referrers':
      return ['ecr:BatchGetImage'];
    case 'manifest-put':
      return ['ecr:PutImage'];
    case 'tags':
      return ['ecr:ListImages'];
    default:
      return [];
  }
}
