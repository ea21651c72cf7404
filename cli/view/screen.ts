import type { Host, Terminal } from '../host.ts';

/** DEC private modes (xterm's ctlseqs): the alternate screen, and the cursor hidden; then both as they were. */
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const END_OF_LINE = '\x1b[K';
const REST_OF_SCREEN = '\x1b[J';
const LAST_KEYS = ['q', 'Q', '\x03', '\x04']; // Ctrl-C and Ctrl-D come as keys from a raw terminal

/**
 * Shows what `look` gives, again and again every `everyMs`, until q or Ctrl-C is pressed or the process is to end: on a terminal in its alternate
 * screen, which is left as it was, at most as many lines as it has; elsewhere one after another. `look` gets the number of lines
 * that there is room for, and a signal that is aborted at the end; what it throws ends this too.
 */
export async function showAgain(
  host: Host,
  everyMs: number,
  look: (signal: AbortSignal, room: number | undefined) => Promise<readonly string[]>,
): Promise<void> {
  const { terminal } = host;
  const quit = new AbortController();
  const signal = AbortSignal.any([host.stopped(), quit.signal]);
  const release = terminal?.keys((key) => {
    if (LAST_KEYS.includes(key)) quit.abort();
  });
  if (terminal !== undefined) host.write(ENTER);
  try {
    while (!signal.aborted) {
      const lines = await look(signal, terminal === undefined ? undefined : terminal.rows - 1);
      if (signal.aborted) break;
      host.write(terminal === undefined ? `${lines.join('\n')}\n` : frame(lines, terminal));
      await host.pause(everyMs, signal);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    release?.();
    if (terminal !== undefined) host.write(LEAVE);
  }
}

/** Painted over what is there, so that nothing flickers. */
function frame(lines: readonly string[], { rows }: Terminal): string {
  const shown = lines.slice(0, rows - 1).map((line) => `${line}${END_OF_LINE}\r\n`);
  return `${HOME}${shown.join('')}${REST_OF_SCREEN}`;
}
