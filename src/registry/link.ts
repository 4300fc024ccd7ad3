/**
 * The address of the next page from a Link header (RFC 8288; OCI distribution-spec v1.1 "Listing Tags"), verbatim: ECR's
 * page tokens are opaque, and a rebuilt `last=` is answered 405 "Invalid next token" (go-containerregistry#681).
 */
export function nextLink(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const text = typeof header === 'string' ? header : header.join(', ');
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('<', at);
    if (open < 0) return undefined;
    const close = text.indexOf('>', open);
    if (close < 0) return undefined;
    const end = endOfLink(text, close + 1);
    if (relations(text.slice(close + 1, end)).includes('next')) return text.slice(open + 1, close).trim();
    at = end + 1;
  }
  return undefined;
}

/** Where a link's parameters end: at the next comma outside of a quoted string. */
function endOfLink(text: string, from: number): number {
  let inQuotes = false;
  for (let at = from; at < text.length; at += 1) {
    const character = text[at];
    if (inQuotes && character === '\\') at += 1;
    else if (character === '"') inQuotes = !inQuotes;
    else if (character === ',' && !inQuotes) return at;
  }
  return text.length;
}

/** The `rel` values; only the first `rel` of a link counts (RFC 8288 section 3.3). */
function relations(parameters: string): readonly string[] {
  const pattern = /;\s*([^\s=;"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/g;
  for (const [, name = '', quoted, bare] of parameters.matchAll(pattern)) {
    if (name.toLowerCase() === 'rel') return (quoted ?? bare ?? '').toLowerCase().split(/\s+/);
  }
  return [];
}
