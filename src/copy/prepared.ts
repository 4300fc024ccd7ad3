import type { Digest } from '../model/digest.ts';
import type { Descriptor } from '../model/manifest.ts';
import { blobsOf, type ManifestNode } from './graph.ts';
import type { SourcePlace } from './request.ts';
import type { PreparedTarget } from './target-state.ts';

/** One graph on its way: the artifact itself, or a referrer of it. */
export interface PreparedGraph {
  readonly source: SourcePlace;
  readonly root: ManifestNode;
  readonly targets: readonly PreparedTarget[];
}

export type Prepared =
  | { readonly kind: 'unchanged'; readonly digest: Digest }
  | {
      readonly kind: 'copy';
      readonly digest: Digest;
      readonly main: PreparedGraph;
      readonly referrers: readonly PreparedReferrer[];
    };

/** A signature, attestation or SBOM that comes along. */
export interface PreparedReferrer {
  readonly graph: PreparedGraph;
  readonly subject: Digest;
  readonly reference: string;
  readonly by: 'tag' | 'referrers-api';
}

/** All blobs of a prepared graph, for accounting. */
export function graphBlobs(graph: PreparedGraph): readonly Descriptor[] {
  return blobsOf(graph.root);
}
