import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { test } from 'node:test';
import { readRequests } from '../support/codec-readers.ts';
import {
  disagreement,
  type Exceptions,
  explainFailure,
  fuzzPlan,
  sameReading,
  sayClose,
} from '../support/differential.ts';
import { REQUESTS, TUNNEL_REQUESTS } from '../support/http-corpus.ts';
import { cutAnywhere, mutate, seededRandom } from '../support/mutations.ts';
import { NodeRequestReader } from '../support/node-readers.ts';

const CORPUS = [...REQUESTS, ...TUNNEL_REQUESTS].map(({ bytes }) => bytes);
const TURN = 64;

const KNOWN_TO_NODE = new Set(METHODS);

const EXCEPT: Exceptions = {
  // Any token is a method (RFC 9110 §9.1), and a proxy passes on those that it does not know; llhttp has a list.
  onlyOurs: ({ start }) => !KNOWN_TO_NODE.has(start.slice(0, start.indexOf(' '))),
  // `Proxy-Connection` is in no RFC, and `Connection` in trailers says nothing (RFC 9110 §6.5.1): node heeds both. An Upgrade
  // with a body, or to h2c, we do not pass on, so that only requests can follow; node hands it to whoever takes upgrades.
  nodeStopsBehind: (theirs, node) =>
    sayClose(theirs.fields, 'proxy-connection') ||
    sayClose(theirs.trailers, 'connection', 'proxy-connection') ||
    (node.tunnel !== undefined && node.messages.at(-1) === theirs),
};

function judge(text: string, node: NodeRequestReader, seed: number): string | undefined {
  const bytes = Buffer.from(text, 'latin1');
  const ours = readRequests([bytes]);
  const pieces = cutAnywhere(bytes, seededRandom(seed));
  if (!sameReading(ours, readRequests(pieces))) return `it depends on the cuts ${pieces.map(({ length }) => length)}`;
  return disagreement(ours, node.read(bytes), EXCEPT);
}

test('of mutated requests we take none that node:http refuses, and frame none differently', async (t) => {
  const { seed, count } = fuzzPlan(100_000);
  t.diagnostic(`NODEMESH_FUZZ_SEED=${seed} NODEMESH_FUZZ_COUNT=${count}`);
  const node = new NodeRequestReader();
  for (let i = 0; i < count; i += 1) {
    const random = seededRandom(seed + i);
    const text = mutate(CORPUS[Math.floor(random() * CORPUS.length)] as string, CORPUS, random);
    if (judge(text, node, seed + i) !== undefined) {
      const again = async (shorter: string) => judge(shorter, node, seed + i);
      assert.fail(await explainFailure(seed + i, text, again));
    }
    if (i % TURN === 0) await new Promise((resolve) => setImmediate(resolve)); // node lets go of its parsers in a later turn
  }
});

test('the corpus itself is read alike', () => {
  const node = new NodeRequestReader();
  for (const text of CORPUS) {
    const bytes = Buffer.from(text, 'latin1');
    const ours = readRequests([bytes]);
    const theirs = node.read(bytes);
    assert.deepEqual(ours.messages, theirs.messages);
    assert.equal(ours.tunnel, theirs.tunnel);
  }
});
