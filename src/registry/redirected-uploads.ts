import type { Digest } from '../model/digest.ts';
import type { UploadSession } from '../model/store.ts';

/**
 * Uploads that a registry sent elsewhere (307, 308) after their body had been streamed to it, which cannot be sent again: the
 * next try of the blob goes there at once. A redirect's address is used as it is (RFC 9110 section 15.4.8), without a digest added.
 */
export class RedirectedUploads {
  readonly #kept = new Map<string, UploadSession>();
  readonly #sessions = new WeakSet<UploadSession>();

  keep(digest: Digest, session: UploadSession): void {
    this.#kept.set(`${session.repository}@${digest}`, session);
    this.#sessions.add(session);
  }

  /** Where the next upload of the blob goes; good for one. */
  take(repository: string, digest: Digest): UploadSession | undefined {
    const key = `${repository}@${digest}`;
    const session = this.#kept.get(key);
    this.#kept.delete(key);
    return session;
  }

  /** Whether the session's address is one of those. */
  has(session: UploadSession): boolean {
    return this.#sessions.has(session);
  }
}
