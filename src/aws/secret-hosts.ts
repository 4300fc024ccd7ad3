/**
 * Hosts as secrets, data files and references write them, brought into one form: lower case, without scheme, path and
 * the default port, and with Docker Hub's many names as `docker.io`.
 */
export function normaliseHost(text: string): string {
  const host = text
    .trim()
    .toLowerCase()
    .replace(/^[a-z][a-z0-9+.-]*:\/\//, '')
    .replace(/[/?#].*$/, '')
    .replace(/:443$/, '');
  return dockerHub.has(host) ? 'docker.io' : host;
}

const dockerHub = new Set([
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
  'auth.docker.io',
]);

/** The host that a secret's nested key names; `undefined` when the key is just a word such as `artifactory`. */
export function hostOfKey(key: string): string | undefined {
  const host = normaliseHost(key);
  const isHost =
    /^(?:\[[0-9a-f:]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?$/.test(host) &&
    (host === 'localhost' || host.includes('.') || host.includes(':'));
  return isHost ? host : undefined;
}

/**
 * Hosts that serve the whole world. A credential that was stored for "the private repository" has no business there
 * unless a key of the secret names the host, even when a docker mapping or a chart points at it.
 */
const publicHosts = new Set([
  'docker.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  'us.gcr.io',
  'eu.gcr.io',
  'asia.gcr.io',
  'k8s.gcr.io',
  'registry.k8s.io',
  'public.ecr.aws',
  'mcr.microsoft.com',
  'nvcr.io',
  'cgr.dev',
  'lscr.io',
  'registry.gitlab.com',
  'registry.access.redhat.com',
  'registry.redhat.io',
  'registry.connect.redhat.com',
  'docker.elastic.co',
  'xpkg.upbound.io',
  'registry.suse.com',
  'registry.opensuse.org',
  'oci.external-secrets.io',
  'get.helm.sh',
  'charts.bitnami.com',
  'registry.bitnami.com',
  'charts.helm.sh',
  'charts.jetstack.io',
  'charts.gitlab.io',
  'helm.cilium.io',
  'helm.elastic.co',
  'helm.releases.hashicorp.com',
  'helm.ngc.nvidia.com',
  'docs.projectcalico.org',
  'docs.tigera.io',
  'github.com',
  'raw.githubusercontent.com',
  'artifacthub.io',
]);

/** Whole domains whose every name is a public page. */
const publicDomains = ['.github.io', '.gitlab.io', '.githubusercontent.com'];

/** Whether this host is a registry or chart host that anybody may publish to or read from. */
export function isPublicHost(host: string): boolean {
  const name = normaliseHost(host);
  return publicHosts.has(name) || publicDomains.some((domain) => name.endsWith(domain));
}
