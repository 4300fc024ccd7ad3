/**
 * Controls, marks that reorder or hide text (Unicode categories Cc and Cf: bidirectional overrides, zero width, tags),
 * line separators, half surrogates. Line feeds stay.
 * @see https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing
 */
const unseen = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

/** A text in which everything can be seen: `\u{202e}` in place of the character itself. */
function visibleText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replaceAll('\t', '  ')
    .replace(unseen, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** A copy of plain data with every text in it made visible, so that no renderer can forget to. */
export function visible<T>(data: T): T {
  return JSON.parse(
    JSON.stringify(data, (_key, value: unknown) => (typeof value === 'string' ? visibleText(value) : value)),
  ) as T; // The same shape: only texts changed, and these are plain data.
}
