import type { Colour, Paint } from './colours.ts';
import { clean } from './text.ts';

export interface Column<Row> {
  readonly title: string;
  readonly right?: boolean;
  /** Gives way where the terminal is narrow; others are cut at its edge. */
  readonly shrinks?: boolean;
  readonly text: (row: Row) => string;
  readonly colour?: (row: Row) => Colour | undefined;
}

const GAP = '  ';
/** A name of fewer characters tells nothing. */
const LEAST_SHRUNK = 10;

/**
 * Rows below a line of titles, each column as wide as its widest text. Where `width` (columns of the terminal; undefined for no limit)
 * is too little, the widest of the columns that shrink give way, and what is still too long is cut. Texts are cleaned.
 */
export function tableLines<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number | undefined,
  paint: Paint,
): string[] {
  const texts = rows.map((row) => columns.map(({ text }) => clean(text(row))));
  const widths = columns.map(({ title }, i) =>
    texts.reduce((most, cells) => Math.max(most, lengthOf(cells[i] ?? '')), title.length),
  );
  if (width !== undefined) shrink(columns, widths, width);
  const line = (cells: readonly string[], colourOf: (column: number) => Colour | undefined) => {
    let left = width ?? Number.POSITIVE_INFINITY;
    const parts: string[] = [];
    for (const [i, cell] of cells.entries()) {
      const gap = i === 0 ? '' : GAP.slice(0, left);
      left -= gap.length;
      const isLast = i === cells.length - 1;
      const padded = pad(cut(cell, widths[i] ?? 0), isLast && !columns[i]?.right ? 0 : (widths[i] ?? 0), columns[i]);
      const shown = cut(padded, left);
      left -= lengthOf(shown);
      parts.push(gap, paint(shown, colourOf(i)));
    }
    return parts.join('').trimEnd();
  };
  return [
    line(
      columns.map(({ title }) => title),
      () => 'bold',
    ),
    ...rows.map((row, r) => line(texts[r] ?? [], (i) => columns[i]?.colour?.(row))),
  ];
}

/** The first so many characters, the last of them `…` where there were more. */
export function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  const characters = [...text];
  if (characters.length <= width) return text;
  return width <= 0 ? '' : `${characters.slice(0, width - 1).join('')}…`;
}

function shrink(columns: readonly Column<never>[] | readonly Column<unknown>[], widths: number[], width: number): void {
  let over = widths.reduce((sum, each) => sum + each, 0) + GAP.length * (widths.length - 1) - width;
  while (over > 0) {
    let widest = -1;
    for (const [i, column] of columns.entries()) {
      if (column.shrinks === true && (widths[i] ?? 0) > (widths[widest] ?? LEAST_SHRUNK)) widest = i;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
    over -= 1;
  }
}

function pad(text: string, width: number, column: { readonly right?: boolean } | undefined): string {
  const space = ' '.repeat(Math.max(0, width - lengthOf(text)));
  return column?.right === true ? `${space}${text}` : `${text}${space}`;
}

function lengthOf(text: string): number {
  return [...text].length;
}
