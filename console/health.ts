import type { NodeView } from '../lib/stats/mesh-view.ts';

/** How well something does; `none`: nothing was answered, so nobody can tell. */
export type Level = 'good' | 'warn' | 'bad' | 'none';

/** Below these shares of good answers something is amiss, or broken. */
const WARN_BELOW = 0.99;
const BAD_BELOW = 0.95;

/** A certificate is renewed at half of its day; one that has less than this left was not. */
const CERTIFICATE_WARN_MS = 6 * 3_600_000;

/** Colour is never alone: each level has a shape too, and a word. */
export const SHAPES: Readonly<Record<Level, string>> = { good: '●', warn: '▲', bad: '◆', none: '○' };
export const WORDS: Readonly<Record<Level, string>> = {
  good: 'well',
  warn: 'some fail',
  bad: 'failing',
  none: 'no traffic',
};

/** Of a success rate of 0..1, or null where nothing was answered. */
export function levelOf(successRate: number | null): Level {
  if (successRate === null) return 'none';
  if (successRate < BAD_BELOW) return 'bad';
  return successRate < WARN_BELOW ? 'warn' : 'good';
}

/** Of what a certificate has left at `now`; null: there is no certificate. */
export function certificateLevel(notAfter: number | null, now: number): Level {
  if (notAfter === null) return 'none';
  if (notAfter <= now) return 'bad';
  return notAfter - now < CERTIFICATE_WARN_MS ? 'warn' : 'good';
}

/** Of a node: whether its daemon answers, is ready, and has a certificate that lasts. */
export function nodeLevel(node: NodeView, now: number): Level {
  if (node.error !== null || !node.ready) return 'bad';
  const certificate = certificateLevel(node.certificateNotAfter, now);
  return certificate === 'none' ? 'good' : certificate;
}
