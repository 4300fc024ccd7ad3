import { describe, expect, it } from 'vitest';
import { MessageReader, noBody } from './http-framing.ts';

/** Reads a stream in pieces of one size, and says what was in it. */
function read(text: string, pieceBytes: number): readonly string[] {
  const messages: string[] = [];
  let current = '';
  const reader = new MessageReader({
    head: (head) => ((current = `${head.startLine} |`), head.framing ?? noBody),
    body: (bytes) => void (current += bytes.toString('latin1')),
    end: () => void messages.push(current),
  });
  const all = Buffer.from(text, 'latin1');
  for (let at = 0; at < all.length; at += pieceBytes) reader.feed(all.subarray(at, at + pieceBytes));
  return messages;
}

const stream = [
  'GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n',
  'PUT /one HTTP/1.1\r\ncontent-length: 12\r\n\r\nhello\r\n\r\nyou',
  'PATCH /two HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\n\r\n\r\n!\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n',
  'PUT /three HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
  'POST /four HTTP/1.1\r\nContent-Length: 2\r\n\r\n42',
].join('');

describe('messages of a connection', () => {
  it.each([1, 2, 3, 7, 64, 10_000])('are found when they come in pieces of %i bytes', (pieceBytes) => {
    expect(read(stream, pieceBytes)).toEqual([
      'GET /v2/ HTTP/1.1 |',
      'PUT /one HTTP/1.1 |hello\r\n\r\nyou',
      'PATCH /two HTTP/1.1 |5\r\n\r\n\r\n!\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n',
      'PUT /three HTTP/1.1 |',
      'POST /four HTTP/1.1 |42',
    ]);
  });

  it('that are no HTTP are an error', () => {
    expect(() => read('x'.repeat(70_000), 1000)).toThrow('no end of the head');
    expect(() => read('PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 100)).toThrow('no chunk size');
  });
});
