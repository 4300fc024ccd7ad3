import { describe, expect, it } from 'vitest';
import { formatLocation, locate, parseReference } from './reference.ts';

describe('references', () => {
  it.each([
    ['QUAY.IO/x:V1', 'quay.io/x:V1'],
    ['Registry.Example.com:5000/team/x', 'registry.example.com:5000/team/x:latest'],
    ['Docker.IO/nginx', 'docker.io/library/nginx:latest'],
    ['nginx:Alpine', 'docker.io/library/nginx:Alpine'],
  ])('lead with the host of %s in lower case to %s', (written, location) => {
    expect(formatLocation(locate(parseReference(written)))).toBe(location);
  });

  it('keep their host as it is written until then', () => {
    expect(parseReference('QUAY.IO/x:1').registry).toBe('QUAY.IO');
  });
});
