import type { PlannedImage } from '../model/plan.ts';
import { formatPlatform, parsePlatform, type Platform } from '../model/platform.ts';

/** Platforms as plans and data files write them. */
export function platformTexts(platforms: 'all' | readonly Platform[]): PlannedImage['platforms'] {
  return platforms === 'all' ? 'all' : platforms.map(formatPlatform);
}

/** @throws ReplicationError `configuration` */
export function parsePlatforms(platforms: 'all' | readonly string[]): 'all' | readonly Platform[] {
  return platforms === 'all' ? 'all' : platforms.map(parsePlatform);
}
