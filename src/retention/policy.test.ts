import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ownerTagKey } from '../aws/owner-tag.ts';
import { decideDeleteRepos, decideDestroy, type TaggedRepository } from './policy.ts';

const mine = ownerTagKey('dev', 'group-replication');
const other = ownerTagKey('prod', 'group-replication');
const repository = (name: string, tags: Record<string, string> = {}): TaggedRepository => ({
  name,
  tags: new Map(Object.entries(tags)),
});
const destroy = (
  repositories: readonly TaggedRepository[],
  usedBy: ReadonlyMap<string, readonly string[]> = new Map(),
) => decideDestroy({ repositories, project: 'app', ownerKey: mine, usedBy });

describe('destroy', () => {
  it('deletes what only this deployment owns', () => {
    expect(destroy([repository('app-a', { [mine]: 'app', team: 'x' })])).toEqual({
      untag: [],
      delete: ['app-a'],
      keep: [],
    });
  });

  it('takes only its own tag from what others own too', () => {
    const decision = destroy([repository('app-a', { [mine]: 'app', [other]: 'app' })]);
    expect(decision.delete).toEqual([]);
    expect(decision.untag).toEqual([{ repository: 'app-a', key: mine, value: undefined }]);
    expect(decision.keep).toEqual([
      { repository: 'app-a', why: 'still used by prod/group-replication of project app' },
    ]);
  });

  it('never touches app2, app without a hyphen, or the repositories of project app-prod', () => {
    const decision = destroy([
      repository('app2-a', { [mine]: 'app' }),
      repository('apps', { [mine]: 'app' }),
      repository('app', { [mine]: 'app' }),
      repository('app-', { [mine]: 'app' }),
      repository('app-prod-a', { [mine]: 'app-prod' }),
      repository('app-prod-b'),
    ]);
    expect(decision.delete).toEqual([]);
    expect(decision.untag).toEqual([]);
    expect(decision.keep.map(({ repository: name, why }) => `${name}: ${why}`)).toEqual([
      'app-prod-a: belongs to dev/group-replication of project app-prod',
      'app-prod-b: has no owner tag',
    ]);
  });

  it('leaves to another project what both own under the same key', () => {
    const decision = destroy([repository('app-prod-x', { [mine]: 'app app-prod' })]);
    expect(decision.delete).toEqual([]);
    expect(decision.untag).toEqual([{ repository: 'app-prod-x', key: mine, value: 'app-prod' }]);
  });

  it('keeps what another deployment lists in its inventory', () => {
    const decision = destroy(
      [repository('app-a', { [mine]: 'app' })],
      new Map([['app-a', ['prod/group-replication']]]),
    );
    expect(decision.delete).toEqual([]);
    expect(decision.keep[0]?.why).toBe('still used by prod/group-replication (by its inventory)');
  });
});

describe('delete-repos', () => {
  const decide = (repositories: readonly TaggedRepository[], includeUntagged = false) => {
    const decision = decideDeleteRepos({ repositories, project: 'app', includeUntagged });
    return {
      delete: decision.delete.map((each) => each.repository),
      keep: decision.keep.map((each) => each.repository),
    };
  };
  const all = [
    repository('app-a', { [mine]: 'app' }),
    repository('app-b', { [mine]: 'app', [other]: 'app' }),
    repository('app-c', { team: 'x' }),
    repository('app-prod-a', { [mine]: 'app-prod' }),
    repository('app-prod-b'),
    repository('app-prod-c', { [mine]: 'app app-prod' }),
    repository('app2-a', { [mine]: 'app' }),
  ];

  it('takes what is tagged for exactly this project, whoever owns it', () => {
    expect(decide(all)).toEqual({
      delete: ['app-a', 'app-b'],
      keep: ['app-c', 'app-prod-a', 'app-prod-b', 'app-prod-c'],
    });
  });

  it('takes untagged ones on request, except where a longer project name fits', () => {
    expect(decide(all, true)).toEqual({
      delete: ['app-a', 'app-b', 'app-c'],
      keep: ['app-prod-a', 'app-prod-b', 'app-prod-c'],
    });
  });
});

describe('for any repositories and tags', () => {
  const project = fc.constantFrom('app', 'app-prod', 'app2', 'ap');
  const owners = fc.uniqueArray(project, { maxLength: 2 }).map((names) => names.join(' '));
  const tags = fc.dictionary(fc.constantFrom(mine, other, 'team'), owners, { maxKeys: 3 });
  const repositories = fc.uniqueArray(
    fc
      .record({ prefix: project, rest: fc.constantFrom('a', 'prod-a', 'x/y'), tags })
      .map(({ prefix, rest, tags: each }) => repository(`${prefix}-${rest}`, each)),
    { selector: (each) => each.name },
  );

  it('only what this deployment alone owns is ever deleted, and doing it twice changes nothing', () => {
    fc.assert(
      fc.property(repositories, project, (all, owner) => {
        const question = {
          repositories: all,
          project: owner,
          ownerKey: mine,
          usedBy: new Map<string, readonly string[]>(),
        };
        const decision = decideDestroy(question);
        for (const name of decision.delete) {
          const found = all.find((each) => each.name === name);
          expect(name.startsWith(`${owner}-`)).toBe(true);
          expect(found?.tags.get(mine)).toBe(owner);
          expect(found?.tags.has(other)).toBe(false);
        }
        const after = all
          .filter((each) => !decision.delete.includes(each.name))
          .map((each) => {
            const untag = decision.untag.find(({ repository: name }) => name === each.name);
            const left = new Map(each.tags);
            if (untag?.value !== undefined) left.set(untag.key, untag.value);
            else if (untag !== undefined) left.delete(untag.key);
            return { name: each.name, tags: left };
          });
        expect(decideDestroy({ ...question, repositories: after })).toMatchObject({ untag: [], delete: [] });
      }),
    );
  });
});
