import type { Aws } from '../aws/clients.ts';
import type { EcrRegistry } from '../aws/ecr.ts';
import type { RepositorySettings } from '../aws/repositories.ts';
import type { CredentialSource } from '../model/credentials.ts';
import { noCredentials } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import { isRepository } from '../model/reference.ts';
import type { RegistryControl, WriteStore } from '../model/store.ts';
import { registryStore } from '../registry/store.ts';
import { ecrStore } from './ecr-store.ts';
import type { Session } from './session.ts';

/** Where a job writes: a store, and the host under which its content is named. */
export interface Target {
  readonly store: WriteStore;
  /** As references write it. */
  readonly host: string;
  /** What `--target` put behind the host, with a slash at its end, or nothing. */
  readonly path: string;
  readonly credentials: CredentialSource;
  /** Set for ECR. */
  readonly ecr: EcrRegistry | undefined;
}

/** `--target`: `oci-layout:DIR`, or `host[:port][/prefix]`; absent: the account's ECR. */
export type TargetText =
  | { readonly kind: 'ecr' }
  | { readonly kind: 'layout'; readonly directory: string }
  | { readonly kind: 'registry'; readonly host: string; readonly path: string };

/** @throws ReplicationError `usage` */
export function parseTarget(text: string | undefined): TargetText {
  if (text === undefined) return { kind: 'ecr' };
  const layout = /^oci-layout:(.+)$/.exec(text)?.[1];
  if (layout !== undefined) return { kind: 'layout', directory: layout };
  const [host = '', ...rest] = text.replace(/^https?:\/\//, '').split('/');
  if (host === '' || text.startsWith('oci-layout')) {
    throw new ReplicationError('usage', `"${text}" is no target`, {
      remedy: 'write host[:port][/prefix], or oci-layout:DIR',
    });
  }
  const path = rest.filter((part) => part !== '').join('/');
  if (path !== '' && !isRepository(path)) {
    throw new ReplicationError('usage', `"${path}" in "${text}" is no prefix of repositories`, {
      remedy: 'write lower-case letters and digits with . _ - / between them, as in registry.example.com/mirror',
    });
  }
  return { kind: 'registry', host, path: path === '' ? '' : `${path}/` };
}

/**
 * Host in references to a layout's content. It can never be resolved (RFC 2606 section 2): whoever loads the bundle into a
 * registry names that registry instead.
 */
export const layoutHost = 'oci-layout.invalid';

export interface TargetOptions {
  readonly aws: () => Aws;
  /** The account, where it is known already. */
  readonly accountId?: string | undefined;
  readonly settings: RepositorySettings;
  readonly tags: Readonly<Record<string, string>>;
  /** For a registry that is not ECR. */
  readonly credentials: CredentialSource;
}

/** Opens what `--target` names, or the account's ECR. @throws ReplicationError `storage` for a folder; what AWS refuses */
export async function openTarget(session: Session, text: TargetText, options: TargetOptions): Promise<Target> {
  switch (text.kind) {
    case 'layout': {
      const { openOciLayout } = await import('../layout/oci-layout.ts');
      return {
        store: await openOciLayout(text.directory),
        host: layoutHost,
        path: '',
        credentials: noCredentials,
        ecr: undefined,
      };
    }
    case 'registry': {
      const store = registryStore(session.transport, text.host, { credentials: options.credentials });
      return { store, host: text.host, path: text.path, credentials: options.credentials, ecr: undefined };
    }
    case 'ecr': {
      const { ecrRegistry } = await import('../aws/ecr.ts');
      const ecr = await ecrRegistry(options.aws(), {
        accountId: options.accountId,
        settings: options.settings,
        tags: options.tags,
        reporter: session.reporter,
        signal: session.signal,
      });
      const { host, baseUrl, credentials, control, mounting } = ecr;
      const store = ecrStore(session.transport, {
        host,
        baseUrl,
        credentials,
        control: { ...control, ensureRepository: remembered(control.ensureRepository) },
        mounting,
      });
      return { store, host, path: '', credentials, ecr };
    }
  }
}

/**
 * Keeps the first answer for the whole run: the repositories are claimed before the copy, which then asks again and has
 * to hear that they are new, since nothing needs to be asked about the content of a new one.
 */
function remembered(ensure: RegistryControl['ensureRepository']): RegistryControl['ensureRepository'] {
  const answers = new Map<string, ReturnType<RegistryControl['ensureRepository']>>();
  return (repository, signal) => {
    const known = answers.get(repository);
    if (known !== undefined) return known;
    const asked = ensure(repository, signal);
    answers.set(repository, asked);
    asked.catch(() => answers.delete(repository));
    return asked;
  };
}
