import { ReplicationError } from '../model/errors.ts';

interface Down {
  readonly error: ReplicationError;
  probing: boolean;
}

/**
 * Hosts that were still not reached after all tries. One request at a time finds out whether they are back, others fail
 * at once: whatever needs a dead host fails soon and together.
 */
export class DownHosts {
  readonly #down = new Map<string, Down>();

  has(origin: string): boolean {
    return this.#down.has(origin);
  }

  add(origin: string, error: ReplicationError): void {
    this.#down.set(origin, { error, probing: false });
  }

  delete(origin: string): void {
    this.#down.delete(origin);
  }

  /**
   * Does the work, unless the host is down and another request finds out already whether it is back.
   * @param what for messages: `manifest library/nginx:1.29`
   * @throws `unreachable`, final
   */
  async guard<T>(url: URL, what: string, work: () => Promise<T>): Promise<T> {
    const down = this.#down.get(url.origin);
    if (down === undefined) return work();
    if (down.probing) {
      throw new ReplicationError(
        'unreachable',
        `${down.error.message}; it has stopped answering, so this was not tried: ${what}`,
        {
          host: url.host,
          remedy: down.error.remedy,
          final: true,
          cause: down.error,
        },
      );
    }
    down.probing = true;
    try {
      return await work();
    } finally {
      down.probing = false;
    }
  }
}
