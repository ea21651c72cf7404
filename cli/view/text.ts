/**
 * Texts and numbers as they are shown. What came over the network goes through `clean` or `jsonText` before it is written: a
 * terminal takes control characters for commands (change its title, colours, what is on the clipboard).
 */

/** C0, C1 and DEL, what has no width or turns the direction of text, and line separators. */
const UNSHOWABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
/** JSON.stringify leaves these as they are: DEL, C1 (0x9b begins a sequence as ESC [ does) and the others of UNSHOWABLE. */
const UNSHOWABLE_IN_JSON = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu;
const SPARKS = '▁▂▃▄▅▆▇█';

/** A text with everything that a terminal would not show escaped: `\x1b`, `\u{202e}`. */
export function clean(text: string): string {
  return text.replace(UNSHOWABLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** The same of several lines, which stay lines. */
export function cleanLines(text: string): string {
  return text.trimEnd().split(/\r?\n/).map(clean).join('\n');
}

/** A value as JSON that a terminal shows; `indent` as JSON.stringify has it. */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, null, indent) ?? 'null';
  return text.replace(UNSHOWABLE_IN_JSON, (character) =>
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** `99.98%` of 0..1, rounded down: 100% is said only where nothing failed. `-` for null. */
export function percent(share: number | null): string {
  if (share === null) return '-';
  return `${(Math.floor(Number((share * 10_000).toFixed(6))) / 100).toFixed(2)}%`;
}

/** A number a second, in three digits or so: `0.25`, `12.5`, `1340`. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return '0';
  if (perSecond < 0.01) return '<0.01';
  return perSecond.toFixed(perSecond < 10 ? 2 : perSecond < 100 ? 1 : 0);
}

/** `0.4ms`, `12ms`, `1.20s`; `-` for null. */
export function duration(ms: number | null): string {
  if (ms === null) return '-';
  if (ms < 9.95) return `${ms.toFixed(1)}ms`;
  return ms < 999.5 ? `${ms.toFixed(0)}ms` : `${(ms / 1_000).toFixed(ms < 9_995 ? 2 : 1)}s`;
}

/** What is left until a moment: `89d`, `23h`, `12min`, or `expired`; `-` for null. All in ms. */
export function timeLeft(until: number | null, now: number): string {
  if (until === null) return '-';
  const minutes = Math.floor((until - now) / 60_000);
  if (until <= now) return 'expired';
  if (minutes < 60) return `${minutes}min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)}h` : `${Math.floor(minutes / (24 * 60))}d`;
}

/** Numbers as bars of one row, the largest the highest; '' where there is nothing but zeros. */
export function sparkline(numbers: readonly number[]): string {
  const most = Math.max(0, ...numbers);
  if (most === 0) return '';
  return numbers.map((number) => SPARKS[Math.round((number / most) * (SPARKS.length - 1))]).join('');
}
