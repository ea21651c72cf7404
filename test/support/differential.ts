import { randomInt } from 'node:crypto';
import type { Reading, ReadMessage } from './codec-readers.ts';
import { shrink } from './mutations.ts';
import type { NodeReading } from './node-readers.ts';

/** How one of our messages relates to node's reading of the same bytes, beyond being the same. */
export interface Exceptions {
  /** We take it and node, for a reason that is no matter of framing, does not: nothing can be compared from here on. */
  readonly onlyOurs: (message: ReadMessage) => boolean;
  /** Both take it, and node means to read nothing, or no HTTP, behind it. */
  readonly nodeStopsBehind: (theirs: ReadMessage, node: NodeReading) => boolean;
}

/**
 * Where we take more of the same bytes than node does, or frame them differently; undefined where we do not. We may always
 * refuse: then only the messages that were complete before count.
 */
export function disagreement(ours: Reading, node: NodeReading, except: Exceptions): string | undefined {
  if (ours.refusal === 'internal_error') return 'we fail';
  for (const [i, message] of ours.messages.entries()) {
    if (except.onlyOurs(message)) return undefined;
    const theirs = node.messages[i];
    if (theirs === undefined) return `message ${i}: node refuses its head (${node.refusal})`;
    const difference = differenceOf(message, theirs, ours, node);
    if (difference !== undefined) return `message ${i}: ${difference}`;
    const opensTunnel = ours.tunnel !== undefined && i === ours.messages.length - 1;
    if (opensTunnel) return ours.tunnel === node.tunnel ? undefined : 'what is left for the tunnel differs';
    if (except.nodeStopsBehind(theirs, node)) return undefined;
  }
  if (ours.reusable && ours.messages.length < node.messages.length) return 'node reads more messages';
  return undefined;
}

function differenceOf(ours: ReadMessage, theirs: ReadMessage, all: Reading, node: NodeReading): string | undefined {
  if (ours.start !== theirs.start) return 'the start line differs';
  if (!sameTexts(ours.fields, theirs.fields)) return 'the fields differ';
  if (!ours.complete) {
    const weWait = all.refusal === undefined;
    return weWait && theirs.complete ? 'node sees its end, we wait for more' : undefined;
  }
  if (!theirs.complete) return `we see its end, node does not (${node.refusal})`;
  if (ours.body !== theirs.body) return 'the bodies differ';
  return trailersAreAmong(ours.trailers, theirs.trailers) ? undefined : 'the trailers differ';
}

function sameTexts(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, i) => text === other[i]);
}

/** We leave some trailers out, but make none up. */
function trailersAreAmong(ours: readonly string[], theirs: readonly string[]): boolean {
  const left = [...theirs];
  for (let i = 0; i < ours.length; i += 2) {
    let at = 0;
    while (at < left.length && (left[at] !== ours[i] || left[at + 1] !== ours[i + 1])) at += 2;
    if (at >= left.length) return false;
    left.splice(0, at + 2);
  }
  return true;
}

/** Whether fields of one of these (lower-case) names say that nothing follows on the connection. */
export function sayClose(fields: readonly string[], ...names: string[]): boolean {
  return fields.some(
    (name, i) => i % 2 === 0 && names.includes(name.toLowerCase()) && /close/i.test(fields[i + 1] as string),
  );
}

/**
 * Same verdict, messages and rest. Of several faults another may be seen first; what a refused message had shown before its
 * refusal is not compared.
 */
export function sameReading(one: Reading, other: Reading): boolean {
  const settled = ({ messages, refusal, tunnel, reusable }: Reading) =>
    JSON.stringify([
      messages.filter(({ complete }) => complete || refusal === undefined),
      refusal === undefined,
      tunnel,
      reusable,
    ]);
  return settled(one) === settled(other);
}

/** How many cases to make, and from which seed on: each has a seed of its own, so that a failed one is run again alone. */
export interface FuzzPlan {
  readonly seed: number;
  readonly count: number;
}

/** NODEMESH_FUZZ_SEED and NODEMESH_FUZZ_COUNT, else another seed each time and `count`. */
export function fuzzPlan(count: number): FuzzPlan {
  const { NODEMESH_FUZZ_SEED, NODEMESH_FUZZ_COUNT } = process.env;
  return { seed: Number(NODEMESH_FUZZ_SEED ?? randomInt(2 ** 31)), count: Number(NODEMESH_FUZZ_COUNT ?? count) };
}

/** The text of a failure: what is wrong, how to run it again, and the smallest bytes that show it. */
export async function explainFailure(
  seed: number,
  text: string,
  judge: (text: string) => Promise<string | undefined>,
): Promise<string> {
  const wrong = await judge(text);
  const smallest = await shrink(text, async (shorter) => (await judge(shorter)) === wrong);
  return `${wrong}\nagain: NODEMESH_FUZZ_SEED=${seed} NODEMESH_FUZZ_COUNT=1\nbytes: ${visible(smallest)}`;
}

function visible(text: string): string {
  return JSON.stringify(text).replace(/[^ -~]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`);
}
