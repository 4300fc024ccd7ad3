import { formatPath, leaves, textOf, valueAt, type Values } from '../../charts/values/tree.ts';
import { splitTarget } from '../../model/target-name.ts';
import { settingsForKey, settingsForNewKey, type ValueSetting } from './helm-key.ts';
import type { ListedImage } from './listed-image.ts';

/** A listed image with its name at the target. */
export interface KeyedImage {
  readonly image: ListedImage;
  readonly target: string;
}

export interface KeyedValues {
  readonly settings: readonly ValueSetting[];
  /** What the reader should know: keys that are taken, or that the values do not have. */
  readonly notices: readonly string[];
}

/**
 * Values for images that are in no render, by their helm keys. Of several images with one key the first gets it; keys that
 * the user wrote go before those that a list usually has.
 * @param values what the chart is rendered with
 */
export function keyedValues(images: readonly KeyedImage[], values: Values): KeyedValues {
  const settings: ValueSetting[] = [];
  const notices: string[] = [];
  const takenBy = new Map<string, string>();
  const asked = images.filter(({ image }) => image.helmKeyIs === 'asked');
  for (const { image, target } of [...asked, ...images.filter((each) => !asked.includes(each))]) {
    const { helmKey: key } = image;
    if (key === undefined) continue;
    const { host: registry, repository, tag } = splitTarget(target);
    if (tag === undefined) {
      notices.push(
        `${image.source} has only a digest, which the helm key ${key} cannot take: write a tag in ${image.origin.path}`,
      );
      continue;
    }
    const parts = { registry, repository, tag };
    const known = settingsForKey(key, parts, values);
    const own = known ?? (image.helmKeyIs === 'asked' ? settingsForNewKey(key, parts) : undefined);
    if (own === undefined) continue;
    if (known === undefined) notices.push(`the values have no ${key}: it is added as ${pathsOf(own)}`);
    const holder = own.map(({ path }) => takenBy.get(formatPath(path))).find((each) => each !== undefined);
    if (holder !== undefined) {
      notices.push(`the helm key ${key} names ${holder}, so ${image.source} is copied and not in the values`);
      continue;
    }
    for (const { path } of own) takenBy.set(formatPath(path), image.source);
    settings.push(...own);
  }
  return { settings, notices };
}

function pathsOf(settings: readonly ValueSetting[]): string {
  return settings.map(({ path }) => formatPath(path)).join(' and ');
}

/** The values of the overrides that are not as they were: lists are whole in there. */
export function changedSettings(overrides: Values, effective: Values): readonly ValueSetting[] {
  return [...leaves(overrides)].flatMap(({ path, text }) =>
    text === '' || textOf(valueAt(effective, path)) === text ? [] : [{ path, value: text }],
  );
}
