/**
 * Knows every secret of this run and takes it out of any text that leaves the process (logs, errors, reports).
 * A secret is masked as it is, in base64 (also as `user:password` for Basic) and URL-encoded.
 * It is a net below careful code, not a replacement for it.
 */
export class SecretMask {
  readonly #forms = new Set<string>();

  /** Registers a secret before its first use. Texts shorter than 4 characters are ignored: masking them would garble everything. */
  add(secret: string): void {
    if (secret.length < 4) return;
    const base64 = Buffer.from(secret, 'utf8').toString('base64');
    for (const form of [
      secret,
      base64,
      base64.replace(/=+$/, ''),
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
    ]) {
      if (form.length >= 4) this.#forms.add(form);
    }
  }

  /** Registers both halves of a Basic credential and the header value they make. */
  addBasic(username: string, password: string): void {
    this.add(password);
    this.add(`${username}:${password}`);
  }

  mask(text: string): string {
    let masked = text;
    // Longest first, so that a secret that contains another one leaves no rest behind.
    for (const form of [...this.#forms].sort((a, b) => b.length - a.length)) masked = masked.replaceAll(form, '******');
    return masked;
  }
}
