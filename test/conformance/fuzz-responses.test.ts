import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readResponse } from '../support/codec-readers.ts';
import {
  disagreement,
  type Exceptions,
  explainFailure,
  fuzzPlan,
  sameReading,
  sayClose,
} from '../support/differential.ts';
import { RESPONSES, STRAY_BYTES } from '../support/http-corpus.ts';
import { cutAnywhere, mutate, seededRandom } from '../support/mutations.ts';
import { type CallKind, type NodeCall, nodeCalls } from '../support/node-readers.ts';

const CORPUS = [...RESPONSES, STRAY_BYTES].map(({ bytes }) => bytes);
const TURN = 64;

/** CONNECT is missing: node's client takes any answer to one, 1xx and 404 included, for a tunnel. */
const KINDS: readonly CallKind[] = [
  { method: 'GET', upgrade: false },
  { method: 'GET', upgrade: false },
  { method: 'HEAD', upgrade: false },
  { method: 'POST', upgrade: false },
  { method: 'GET', upgrade: true },
];

const EXCEPT: Exceptions = {
  onlyOurs: () => false,
  // An interim answer cannot end the connection: the final one is still to come (RFC 9110 §15.2). node reads on only in
  // HTTP/1.1 and without `close`.
  nodeStopsBehind: ({ start, fields }) =>
    start.startsWith('1') && (start.endsWith(' 1.0') || sayClose(fields, 'connection', 'proxy-connection')),
};

interface Case {
  readonly seed: number;
  readonly kind: CallKind;
  readonly text: string;
  readonly ends: boolean;
}

function makeCase(seed: number): Case {
  const random = seededRandom(seed);
  const kind = KINDS[Math.floor(random() * KINDS.length)] as CallKind;
  const ends = random() < 0.5;
  const text = mutate(CORPUS[Math.floor(random() * CORPUS.length)] as string, CORPUS, random);
  return { seed, kind, text, ends };
}

function judge({ seed, kind, text, ends }: Case, node: NodeCall): string | undefined {
  const bytes = Buffer.from(text, 'latin1');
  const request = { method: kind.method, asksForTunnel: kind.upgrade, ends };
  const ours = readResponse([bytes], request);
  const pieces = cutAnywhere(bytes, seededRandom(seed));
  if (!sameReading(ours, readResponse(pieces, request)))
    return `it depends on the cuts ${pieces.map(({ length }) => length)}`;
  return disagreement(ours, node.read(bytes, ends), EXCEPT);
}

test('of mutated responses we take none that node:http refuses, and frame none differently', async (t) => {
  const { seed, count } = fuzzPlan(80_000);
  t.diagnostic(`NODEMESH_FUZZ_SEED=${seed} NODEMESH_FUZZ_COUNT=${count}`);
  for (let start = 0; start < count; start += TURN) {
    const cases = Array.from({ length: Math.min(TURN, count - start) }, (_, i) => makeCase(seed + start + i));
    const calls = await nodeCalls(cases.map(({ kind }) => kind));
    const failed = cases.find((one, i) => judge(one, calls[i] as NodeCall) !== undefined);
    if (failed === undefined) continue;
    const again = async (text: string) =>
      judge({ ...failed, text }, ...((await nodeCalls([failed.kind])) as [NodeCall]));
    assert.fail(`${JSON.stringify(failed.kind)}: ${await explainFailure(failed.seed, failed.text, again)}`);
  }
});

test('the corpus itself is read alike', async () => {
  for (const { name, method, bytes: text, closes } of [...RESPONSES, STRAY_BYTES]) {
    const bytes = Buffer.from(text, 'latin1');
    const ours = readResponse([bytes], { method, ends: closes });
    const [call] = (await nodeCalls([{ method, upgrade: false }])) as [NodeCall];
    assert.deepEqual(ours.messages, call.read(bytes, closes).messages, name);
  }
});
