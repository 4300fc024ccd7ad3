/** A username and password as Basic authentication (RFC 7617) or a token exchange needs them. Never printed. */
export interface BasicCredential {
  readonly kind: 'basic';
  readonly username: string;
  readonly password: string;
}

/** A refresh token from a docker credential helper (username `<token>`): exchanged by POST for an access token. */
export interface IdentityTokenCredential {
  readonly kind: 'identity-token';
  readonly token: string;
}

export type Credential = BasicCredential | IdentityTokenCredential;

/**
 * Where credentials for a host come from. Asked only after the host has sent a challenge (or for hosts that the cloud's
 * own interface named, such as ECR), and only for exactly that host.
 */
export interface CredentialSource {
  /**
   * @param host registry or chart host as references write it, port included
   * @param options.rejected set when the credential given before was refused (401 or 403): give a fresh one, or the same
   *   when there is no fresher. One refresh serves all waiters.
   */
  credentialFor(host: string, options?: { readonly rejected?: boolean }): Promise<Credential | undefined>;
}

/** Asks several sources in turn; the first answer counts. */
export function firstCredential(sources: readonly CredentialSource[]): CredentialSource {
  return {
    async credentialFor(host, options) {
      for (const source of sources) {
        const credential = await source.credentialFor(host, options);
        if (credential !== undefined) return credential;
      }
      return undefined;
    },
  };
}

export const noCredentials: CredentialSource = { credentialFor: () => Promise.resolve(undefined) };
