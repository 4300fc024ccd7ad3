import { gzipSync } from 'node:zlib';
import { Header } from 'tar';

/** A file of an archive. Directories are not listed: whoever unpacks makes them. */
export interface ArchiveFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  /** Permission bits; 0o644 unless told. */
  readonly mode?: number | undefined;
}

const block = 512;

/** A tar archive (POSIX ustar) whose bytes depend on the files only: no times, no owners. */
export function tarOf(files: readonly ArchiveFile[]): Buffer {
  const parts = files.flatMap(({ path, content, mode }) => {
    const body = typeof content === 'string' ? Buffer.from(content, 'utf8') : Buffer.from(content);
    const head = Buffer.alloc(block);
    new Header({
      path,
      mode: mode ?? 0o644,
      uid: 0,
      gid: 0,
      size: body.length,
      mtime: new Date(0),
      type: 'File',
    }).encode(head, 0);
    return [head, body, Buffer.alloc((block - (body.length % block)) % block)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

/** Gzip without time; the byte for the operating system (RFC 1952 section 2.3.1) is set to "unknown" everywhere. */
export function gzipOf(bytes: Uint8Array): Buffer {
  const zipped = gzipSync(bytes, { level: 9 });
  zipped[9] = 0xff;
  return zipped;
}

export function tarGzOf(files: readonly ArchiveFile[]): Buffer {
  return gzipOf(tarOf(files));
}
