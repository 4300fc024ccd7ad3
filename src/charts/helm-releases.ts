/** The helm release that is fetched when nothing else is asked for: the last line of helm 3. */
export const pinnedHelmVersion = 'v3.21.4';

/**
 * sha256 of release archives by file name, lower-case hex: what `<archive>.sha256sum` said at release.
 * Source: the "Download" lists of https://github.com/helm/helm/releases (each archive with its checksum), compared with
 * the digests that independent projects pin for the same files.
 */
export const helmReleaseDigests: Readonly<Record<string, string>> = {
  'helm-v3.21.3-linux-amd64.tar.gz': '15e041a93a590dce8100f39385cd98c84a765c9e36aeeb9e2dc6ff9e4769e2e0',
  'helm-v3.21.3-linux-arm64.tar.gz': '67f58155079ff9ffab98ba5c88daff0ed9b542f3a4732f5dd426dde7dd0f5244',
  'helm-v3.21.4-linux-amd64.tar.gz': '61f88ab166748cb19604d7884cb100ae9ccb13804ddeb98e08af167eacbb6a14',
  'helm-v3.21.4-linux-arm64.tar.gz': 'b54c04b4e0b2540bbdc08c17a121dab70e9a2ed0de5705528fec68a5fd3b85a7',
  'helm-v4.2.3-linux-amd64.tar.gz': 'e9b88b4ee95b18c706839c28d3a0220e5bc470e9cd9262410c90793c45ff8b7c',
  'helm-v4.2.3-linux-arm64.tar.gz': '21abd9354d39b2cd79a8d76be6912cd137a983cbf997193503fb8a6a6e2f2785',
  'helm-v4.2.4-linux-amd64.tar.gz': 'c306b46f719b0a4da32d0f78ee21bf90ce8d602f15b22ab753f0674d1670a7f3',
  'helm-v4.2.4-linux-arm64.tar.gz': '564de2191b881e9f71b5606b25345821ea1682f06ab90499d3ab22b530176da1',
};

/** Where the helm project publishes its archives. */
export function helmReleaseUrl(version: string, platform: string): string {
  return `https://get.helm.sh/helm-${version}-${platform}.tar.gz`;
}
