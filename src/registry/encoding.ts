import { pipeline, Readable, type Transform } from 'node:stream';
import { brotliDecompressSync, createBrotliDecompress, createGunzip, createInflate, gunzipSync, inflateSync } from 'node:zlib'; // prettier-ignore
import { ReplicationError } from '../model/errors.ts';
import type { Answer } from './exchange.ts';
import { encodingOf } from './headers.ts';

/**
 * Answers that were compressed for the way (RFC 9110 section 8.4), though we ask for none: proxies that compress whatever
 * passes, and stores that keep a file compressed. Digests and sizes are of what was compressed.
 */

/**
 * An answer of a registry's interface, decoded: at most `limit` bytes; as it is where it is not in the encoding that it tells.
 * Not for files, which servers call encoded for what they are: `.tgz` is "x-gzip" to Apache's AddEncoding.
 */
export function decodedAnswer(answer: Answer, limit: number): Answer {
  const encoding = encodingOf(answer.headers);
  if (encoding === undefined || answer.cut || answer.bytes.length === 0) return answer;
  return { ...answer, bytes: decodedBytes(answer.bytes, encoding, limit) };
}

function decodedBytes(bytes: Buffer, encoding: string, limit: number): Buffer {
  const options = { maxOutputLength: limit };
  try {
    if (encoding === 'gzip') return gunzipSync(bytes, options);
    if (encoding === 'deflate') return inflateSync(bytes, options);
    if (encoding === 'br') return brotliDecompressSync(bytes, options);
  } catch {
    // Told wrongly: whoever knows the digest finds out.
  }
  return bytes;
}

/**
 * The same for a stream; `undefined` for an encoding that we do not know. Whoever destroys it destroys the stream.
 * @param broken the error of a body that is not in the encoding, or ends too early
 */
export function decodedStream(
  stream: Readable,
  encoding: string,
  broken: (cause: unknown) => Error,
): Readable | undefined {
  const decoder = decoderOf(encoding);
  if (decoder === undefined) return undefined;
  pipeline(stream, decoder, () => undefined);
  return Readable.from(decodedChunks(decoder, broken), { objectMode: false });
}

async function* decodedChunks(decoder: Transform, broken: (cause: unknown) => Error): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of decoder) if (Buffer.isBuffer(chunk)) yield chunk;
  } catch (error) {
    // What the connection fails with comes as it is.
    throw error instanceof ReplicationError ? error : broken(error);
  }
}

function decoderOf(encoding: string): Transform | undefined {
  if (encoding === 'gzip') return createGunzip();
  if (encoding === 'deflate') return createInflate();
  return encoding === 'br' ? createBrotliDecompress() : undefined;
}
