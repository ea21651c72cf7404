import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ListReader } from '../../lib/kubernetes/list-reader.ts';

function read(pieces: readonly Buffer[]) {
  const items: unknown[] = [];
  const reader = new ListReader((text) => items.push(JSON.parse(text)));
  for (const piece of pieces) reader.push(piece);
  return { items, metadata: reader.end() };
}

const whole = (text: string) => read([Buffer.from(text)]);
const METADATA = { resourceVersion: '7', continue: 'next' };

const ITEMS = [
  { metadata: { name: 'a', labels: { 'a"b': 'c\\', text: '}],{["items":[' } } },
  {
    metadata: { name: 'Grüße 🚀' },
    list: [[], {}, [{ items: [{ deep: [1, 2] }] }]],
    escaped: 'tab\t "quoted" \\" \\\\',
  },
  {},
  { text: '\u2028', number: -1.5e-7, nothing: null, yes: true },
];

test('list: cut at every byte, objects and what is around them stay what they are', () => {
  const bytes = Buffer.from(JSON.stringify({ kind: 'List', metadata: METADATA, items: ITEMS }));
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const { items, metadata } = read([bytes.subarray(0, cut), bytes.subarray(cut)]);
    assert.deepEqual(items, ITEMS, `cut at ${cut}`);
    assert.deepEqual(metadata, METADATA, `cut at ${cut}`);
  }
  const single = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
  assert.deepEqual(read(single), { items: ITEMS, metadata: METADATA });
});

test('list: any objects, any spacing, any order of keys, any pieces', () => {
  const list = fc.record({ items: fc.array(fc.object({ maxDepth: 4 })), before: fc.boolean(), indent: fc.nat(3) });
  fc.assert(
    fc.property(list, fc.array(fc.nat(40)), ({ items, before, indent }, lengths) => {
      const json = JSON.stringify(
        before ? { items, more: { items: [{}] }, metadata: METADATA } : { metadata: METADATA, more: [[{}]], items },
        undefined,
        indent,
      );
      const bytes = Buffer.from(json);
      let rest = bytes;
      const pieces = lengths.map((length) => {
        const piece = rest.subarray(0, length);
        rest = rest.subarray(length);
        return piece;
      });
      assert.deepEqual(read([...pieces, rest]), {
        items: JSON.parse(json).items,
        metadata: METADATA,
      });
    }),
  );
});

test('list: objects are given before the rest has come', () => {
  const items: string[] = [];
  const reader = new ListReader((text) => items.push(text));
  reader.push(Buffer.from('{"metadata":{"resourceVersion":"1"},"items":[{"a":1},{"b"'));
  assert.deepEqual(items, ['{"a":1}']);
});

test('list: an empty one, and null', () => {
  for (const items of ['[]', 'null', '[ \n ]']) {
    assert.deepEqual(whole(`{"metadata":{"resourceVersion":"1"},"items":${items}}\n`), {
      items: [],
      metadata: { resourceVersion: '1', continue: '' },
    });
  }
});

test('list: one that breaks off anywhere is no JSON', () => {
  const text = JSON.stringify({ metadata: METADATA, items: ITEMS });
  for (let length = 1; length < Buffer.byteLength(text); length += 1) {
    assert.throws(() => read([Buffer.from(text).subarray(0, length)]), SyntaxError, `of ${length} bytes`);
  }
});

test('list: missing and doubled commas are found', () => {
  for (const items of ['[{}{}]', '[{},,{}]', '[,{}]', '[{},]', '[{}}', '[{}]]', '[{"a":1}x]']) {
    assert.throws(() => whole(`{"metadata":{"resourceVersion":"1"},"items":${items}}`), SyntaxError, items);
  }
});

test('list: JSON that is no list', () => {
  const version = '"metadata":{"resourceVersion":"1"}';
  for (const text of [
    '[{}]',
    '{}',
    '7',
    'null',
    '"items"',
    '{"items":[]}',
    '{"metadata":{"resourceVersion":""},"items":[]}',
    '{"metadata":{"resourceVersion":5},"items":[]}',
    `{${version}}`,
    `{${version},"items":{}}`,
    `{${version},"items":[0]}`,
    `{${version},"items":[[{}]]}`,
    `{${version},"more":{"items":[{}]}}`,
    `{${version},"x\\"items":[{}]}`,
    `[{${version},"items":[{}]}]`,
  ]) {
    assert.deepEqual(whole(text), { items: [], metadata: undefined }, text);
  }
});

test('list: an object of 10 MB is read, one of 20 MB refused, and so is as much of anything else', () => {
  const piece = Buffer.alloc(1024 * 1024, 'x');
  const pieces = (count: number) => Array.from({ length: count }, () => piece);
  const [begin, end] = [Buffer.from('{"metadata":{"resourceVersion":"1"},"items":[{"a":"'), Buffer.from('"}]}')];
  const { items } = read([begin, ...pieces(10), end]);
  assert.equal((items[0] as { a: string }).a.length, 10 * piece.length);
  assert.throws(() => read([begin, ...pieces(20), end]), /an object of the list is larger than/);
  assert.throws(() => read(pieces(5)), /belong to no object/);
});

test('list: what a trim throws comes through', () => {
  const reader = new ListReader(() => assert.fail('no name'));
  assert.throws(() => reader.push(Buffer.from('{"items":[{}]}')), /no name/);
});
