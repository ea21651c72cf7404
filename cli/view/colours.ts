import type { Host } from '../host.ts';

export type Colour = 'red' | 'yellow' | 'green' | 'bold' | 'dim';
export type Paint = (text: string, colour: Colour | undefined) => string;

/** SGR (ECMA-48, 8.3.117): to switch it on, and off again. */
const CODES: Readonly<Record<Colour, readonly [on: number, off: number]>> = {
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
  bold: [1, 22],
  dim: [2, 22],
};

const plain: Paint = (text) => text;

const coloured: Paint = (text, colour) => {
  if (colour === undefined || text === '') return text;
  const [on, off] = CODES[colour];
  return `\x1b[${on}m${text}\x1b[${off}m`;
};

/** Colours on a terminal alone, and not where NO_COLOR is set (no-color.org) or the terminal is dumb. */
export function paintOf({ terminal, env }: Pick<Host, 'terminal' | 'env'>): Paint {
  const { NO_COLOR = '', TERM } = env;
  return terminal !== undefined && NO_COLOR === '' && TERM !== 'dumb' ? coloured : plain;
}
