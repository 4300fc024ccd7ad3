import { describe, expect, it } from 'vitest';
import { SecretMask } from '../model/secrets.ts';
import { errorFor } from './answer-errors.ts';

function refusal(body: string, mask = new SecretMask()) {
  const url = new URL('https://registry.example/v2/team/app/manifests/1');
  const answer = { status: 403, url, headers: {}, bytes: Buffer.from(body), cut: false, stream: undefined };
  return errorFor(answer, { what: 'manifest team/app:1', host: 'registry.example', reference: 'team/app:1', mask });
}

describe('errorFor', () => {
  it('names the permission that IAM misses', () => {
    const arn = 'arn:aws:ecr:eu-west-1:123456789012:repository/app-web';
    const message = `User: arn:aws:iam::1:user/x is not authorized to perform: ecr:PutImage on resource: ${arn} because …`;
    const error = refusal(JSON.stringify({ errors: [{ code: 'DENIED', message }] }));
    expect(error.remedy).toBe(`allow ecr:PutImage on ${arn}`);
    expect(refusal('no').remedy).toBe('check that the credentials for registry.example allow this');
  });

  it('leaves no part of a secret that looks like a tag, or that tags are strewn into', () => {
    const mask = new SecretMask();
    mask.add('left<b>right');
    mask.add('whole-secret');
    expect(refusal('<p>left<b>right</p>', mask).message).not.toMatch(/left|right/);
    expect(refusal(`${'x'.repeat(990)} whole-secret`, mask).message).not.toContain('whole');
  });
});
