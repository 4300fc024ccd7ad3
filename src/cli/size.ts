const powers = ['', 'k', 'm', 'g', 't'];

/**
 * Reads a size in bytes: `0`, `1000000`, `500MB` (10^6), `4GiB` (4 times 2^30), also as Kubernetes writes them (`8Gi`, `1.5T`).
 * @throws RangeError for any other text
 */
export function parseSize(text: string): number {
  const [, number = '', unit = '', binary = ''] = /^(\d+(?:\.\d+)?) ?([kmgt]?)(i?)b?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (binary === '' ? 1000 : 1024) ** powers.indexOf(unit.toLowerCase()));
  if (number !== '' && (unit !== '' || binary === '') && Number.isSafeInteger(bytes)) return bytes;
  throw new RangeError(`"${text}" is no size: write it as 4GiB, 500MB or 0`);
}
