import * as z from 'zod';
import { ReplicationError } from './errors.ts';

/** OCI image-spec v1.1 image-index.md, property `platform` (names as the specification writes them). */
export const Platform = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  variant: z.string().optional(),
  'os.version': z.string().optional(),
});
export type Platform = Readonly<z.infer<typeof Platform>>;

/** The names that Go has for systems and architectures, and variants such as `v7` (image-index.md refers to them). */
const platformName = /^[a-z0-9._]+$/;

/** Parses `linux/amd64` or `linux/arm/v7`. @throws ReplicationError `configuration` */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().split('/');
  const [os, architecture, variant] = parts;
  if (!os || !architecture || parts.length > 3 || !parts.every((part) => platformName.test(part))) {
    throw new ReplicationError('configuration', `"${text}" is not a platform (expected os/architecture[/variant])`, {
      remedy: 'write platforms like linux/amd64,linux/arm64',
    });
  }
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join('/');
}

/**
 * Whether an index entry is wanted: os and architecture equal, and variant too where the wish names one.
 * arm64 means arm64/v8 (containerd platforms normalise alike).
 */
export function platformMatches(wish: Platform, offered: Platform): boolean {
  if (wish.os !== offered.os || wish.architecture !== offered.architecture) return false;
  if (wish.variant === undefined) return true;
  const variant = offered.variant ?? (offered.architecture === 'arm64' ? 'v8' : undefined);
  return wish.variant === variant;
}
