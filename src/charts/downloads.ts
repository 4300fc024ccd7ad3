/**
 * Plain HTTP downloads as this room needs them: chart repositories, chart archives, helm. Implemented by src/registry,
 * which owns proxies, private CAs, retries, redirects and challenges; credentials are decided there by host, so a chart
 * whose address lies on another host than its repository gets none of the repository's.
 *
 * Both methods throw ReplicationError: `not-found` (404, 410), `unauthorized` (401), `denied` (403), `corrupt` when
 * the body is larger than `maxBytes`, `unreachable`, … with `host` and `status` filled in.
 */
export interface Downloads {
  getBytes(
    url: string,
    options: { readonly maxBytes: number; readonly signal: AbortSignal; readonly accept?: string },
  ): Promise<{ readonly bytes: Uint8Array; readonly finalUrl: string }>;

  /** `sha256` is the digest of the file in hex (with or without the `sha256:` prefix), `size` is in bytes. */
  getToFile(
    url: string,
    path: string,
    options: {
      readonly maxBytes: number;
      readonly signal: AbortSignal;
      readonly onProgress?: (bytes: number) => void;
    },
  ): Promise<{ readonly size: number; readonly sha256: string; readonly finalUrl: string }>;
}
