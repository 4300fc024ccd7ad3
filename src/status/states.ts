/**
 * What is known of one image at its target:
 * - `pending`: a run has begun with it, and has not said how it ended (it goes on, or was interrupted)
 * - `copied`, `unchanged`, `failed`: how the last run ended with it
 * - `deleted-at-source`: it is at the target still, and gone at the source · `pruned`: removed at the target, too
 */
export const imageStates = ['pending', 'copied', 'unchanged', 'failed', 'deleted-at-source', 'pruned'] as const;
export type ImageState = (typeof imageStates)[number];
