/** One change of a text: what is between two offsets gives way to another text. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Two changes of one place that are not the same: parts of a manifest that share a text by an alias cannot differ. */
export class SpliceConflict extends Error {
  readonly offset: number;

  constructor(offset: number) {
    super('what is shared by an alias would have to become different things');
    this.name = 'SpliceConflict';
    this.offset = offset;
  }
}

/**
 * Makes all changes of a text at once; the same change asked for twice is made once. Removals may touch and overlap. A
 * removal of whole lines up to the end of a text whose last line is not ended takes the line end before it as well.
 * Throws SpliceConflict.
 */
export function spliceText(text: string, splices: readonly Splice[]): string {
  const parts: string[] = [];
  let done = 0;
  for (const { start, end, text: put } of merged(splices)) {
    const toTheEnd =
      end === text.length && end > start && put === '' && !text.endsWith('\n') && text[start - 1] === '\n';
    parts.push(text.slice(done, toTheEnd ? start - eolBefore(text, start) : start), put);
    done = end;
  }
  parts.push(text.slice(done));
  return parts.join('');
}

function eolBefore(text: string, offset: number): number {
  return text[offset - 2] === '\r' ? 2 : 1;
}

function merged(splices: readonly Splice[]): Splice[] {
  const sorted = [...splices].sort((a, b) => a.start - b.start || a.end - b.end);
  const result: Splice[] = [];
  for (const splice of sorted) {
    const last = result.at(-1);
    if (last === undefined || splice.start > last.end) {
      result.push(splice);
    } else if (last.text === '' && splice.text === '') {
      result[result.length - 1] = { start: last.start, end: Math.max(last.end, splice.end), text: '' };
    } else if (splice.start === last.start && splice.end === last.end && splice.text === last.text) {
      // the same change of a shared text
    } else if (splice.start < last.end || splice.start === last.start) {
      throw new SpliceConflict(splice.start);
    } else {
      result.push(splice);
    }
  }
  return result;
}
