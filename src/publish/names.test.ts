import { describe, expect, it } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { bucketName, objectName, sideObjectName, validateProject } from './names.ts';

describe('names', () => {
  it('are those of the original module', () => {
    expect(bucketName('idftest', 'us-east-1', '123456789012')).toBe('idftest-dkr-img-rep-md-us-east-1-123456789012');
    expect(objectName('repltestrepl', 'repl-repl')).toBe('repltestrepl-repl-repl-metadata.json');
    expect(sideObjectName('a-b-metadata.json', 'lock')).toBe('a-b-metadata.lock.json');
    expect(sideObjectName('a-b-metadata.json', 'report', 'html')).toBe('a-b-metadata.report.html');
  });

  it.each(['app', 'app-prod', 'a1', 'my.app', '0app', 'a'.repeat(20)])('project %s is fine', (project) => {
    validateProject(project, 'ap-southeast-1');
  });

  it.each([
    ['', 'empty'],
    ['App', 'upper-case'],
    ['my_app', 'underscore'],
    ['-app', 'begin and end'],
    ['app-', 'begin and end'],
    ['a..b', 'begin and end'],
    ['a.-b', 'begin and end'],
    ['a b', 'begin and end'],
    ['xn--a', 'reserves'],
    ['a'.repeat(21), 'more than 63 characters'],
  ])('project "%s" is refused: %s', async (project, why) => {
    const error = await refusal(() => {
      validateProject(project, 'ap-southeast-1');
    });
    expect(error.code).toBe('configuration');
    expect(error.message).toContain(why);
    expect(error.remedy).toContain('at most 20');
  });
});
