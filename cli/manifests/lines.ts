/** Where the line of an offset begins. */
export function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

/** Where the line after the one of an offset begins; the text's end where there is none. A line's start stays as it is. */
export function lineAfter(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset;
  const end = text.indexOf('\n', offset);
  return end < 0 ? text.length : end + 1;
}

/** Whether only spaces stand before an offset in its line. */
export function beginsItsLine(text: string, offset: number): boolean {
  return /^ *$/.test(text.slice(lineStart(text, offset), offset));
}

/** The start of the comment and blank lines right above the line that starts at an offset. */
export function aboveComments(text: string, start: number): number {
  let above = start;
  while (above > 0) {
    const previous = lineStart(text, above - 1);
    const line = text.slice(previous, above).trim();
    if (line !== '' && !line.startsWith('#')) break;
    above = previous;
  }
  return above;
}

/** Lines to be put at the start of a line, or at the end of a text whose last line is not ended. */
export function linesToPut(text: string, offset: number, lines: readonly string[]): string {
  const eol = /\r?\n/.exec(text)?.[0] ?? '\n';
  const put = lines.join(eol);
  return offset > 0 && text[offset - 1] !== '\n' ? `${eol}${put}` : `${put}${eol}`;
}
