/** Numbers and times as the console writes them. A value that there is none of is an en dash. */

export const NONE = '–';

/** Per second: `0`, `0.4`, `12.3`, `456`, `12.4k`, `1.2M`. */
export function formatRate(perSecond: number): string {
  if (perSecond <= 0) return '0';
  if (perSecond < 0.05) return '<0.1';
  if (perSecond < 99.95) return perSecond.toFixed(1).replace(/\.0$/, '');
  if (perSecond < 9_999.5) return String(Math.round(perSecond));
  return perSecond < 999_500 ? `${(perSecond / 1_000).toFixed(1)}k` : `${(perSecond / 1_000_000).toFixed(1)}M`;
}

/** A share of 0..1 in per cent, cut and not rounded: 100% is said only where nothing failed. */
export function formatShare(share: number | null): string {
  if (share === null) return NONE;
  const percent = share * 100;
  if (percent >= 100) return '100%';
  if (percent <= 0) return '0%';
  // One more than the digits shown, since 99.9 is 99.89999… in binary.
  const cut = Math.floor(Number((percent * 100).toFixed(6))) / 100;
  return `${percent >= 99 ? cut.toFixed(2) : (Math.floor(cut * 10) / 10).toFixed(1)}%`;
}

/** Milliseconds: `0.8 ms`, `12 ms`, `1.24 s`. */
export function formatMs(ms: number | null): string {
  if (ms === null) return NONE;
  if (ms < 9.95) return `${ms.toFixed(1).replace(/\.0$/, '')} ms`;
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(2)} s`;
}

/** How long something takes or lasts, in the largest unit of which there are two: `45 s`, `90 min`, `23 h`, `12 days`. */
export function formatSpan(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 120 * 60) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3_600) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** Time of day here, `20:41:05`. */
export function formatTime(at: number): string {
  return new Date(at).toLocaleTimeString('en-GB');
}

/** Bytes: `512 B`, `3.4 kB`, `1.2 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** `1 pod`, `2 pods`. */
export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
