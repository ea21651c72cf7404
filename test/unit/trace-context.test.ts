import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { askedRate, isSampled } from '../../daemon/telemetry/tracing/sampling.ts';
import { readTraceContext, TraceForm, traceLines } from '../../daemon/telemetry/tracing/trace-context.ts';

// The examples of W3C's Trace Context §3.2 and §3.3, and of openzipkin/b3-propagation.
const W3C_TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const W3C_SPAN = '00f067aa0ba902b7';
const TRACEPARENT = `00-${W3C_TRACE}-${W3C_SPAN}-01`;
const B3_TRACE = '80f198ee56343ba864fe8b2a57d3eff7';
const B3_SPAN = 'e457b5a2e4d86bd1';
const B3_PARENT = '05e3ac9a4f6e3b90';

/** finagle's 32 or 40 bytes, written down by its own comment: spanId:8 parentId:8 traceId:8 flags:8 [traceIdHigh:8]. */
function finagle(spanId: bigint, parentId: bigint, traceId: bigint, flags: bigint, high?: bigint): string {
  const bytes = Buffer.alloc(high === undefined ? 32 : 40);
  for (const [i, part] of [spanId, parentId, traceId, flags].entries()) bytes.writeBigUInt64BE(part, 8 * i);
  if (high !== undefined) bytes.writeBigUInt64BE(high, 32);
  return bytes.toString('base64');
}

function idsOf(fields: string[]): string | undefined {
  const ids = readTraceContext(fields)?.ids;
  return ids && [ids.traceId, ids.spanId, ...(ids.parentSpanId === undefined ? [] : [ids.parentSpanId])].join(' ');
}

test('traceparent: what is valid is taken', () => {
  for (const [value, sampled] of [
    [TRACEPARENT, true],
    [`00-${W3C_TRACE}-${W3C_SPAN}-00`, false],
    [`00-${W3C_TRACE}-${W3C_SPAN}-02`, false],
    [`00-${W3C_TRACE}-${W3C_SPAN}-ff`, true],
    [`01-${W3C_TRACE}-${W3C_SPAN}-01`, true],
    [`cc-${W3C_TRACE}-${W3C_SPAN}-01-what-the-future-will-be-like`, true],
  ] as const) {
    const context = readTraceContext(['traceparent', value]);
    assert.equal(context?.sampled, sampled, value);
    assert.deepEqual([context?.ids?.traceId, context?.ids?.spanId], [W3C_TRACE, W3C_SPAN], value);
  }
});

test('traceparent: what is not valid is as if it were not there', () => {
  for (const value of [
    '',
    'garbage',
    `ff-${W3C_TRACE}-${W3C_SPAN}-01`,
    `${TRACEPARENT}-`,
    `${TRACEPARENT}-more`,
    `cc-${W3C_TRACE}-${W3C_SPAN}-01.more`,
    `00-${'0'.repeat(32)}-${W3C_SPAN}-01`,
    `00-${W3C_TRACE}-${'0'.repeat(16)}-01`,
    TRACEPARENT.toUpperCase(),
    `00-${W3C_TRACE.slice(1)}-${W3C_SPAN}-01`,
    `00-${W3C_TRACE}-${W3C_SPAN}0-01`,
    `00-${W3C_TRACE}-${W3C_SPAN}-1`,
    `0-${W3C_TRACE}-${W3C_SPAN}-01`,
    `${TRACEPARENT},${TRACEPARENT}`,
  ]) {
    assert.equal(readTraceContext(['traceparent', value, 'tracestate', 'a=b']), undefined, value);
  }
  assert.equal(readTraceContext(['traceparent', TRACEPARENT, 'traceparent', TRACEPARENT]), undefined, 'two fields');
});

test('tracestate: one list of all its fields, or nothing', () => {
  const members = (count: number) => Array.from({ length: count }, (_, i) => `k${i}=v`).join(',');
  for (const [values, expected] of [
    [['rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'], 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
    [['rojo=1', 'congo=2'], 'rojo=1,congo=2'],
    [['a=1 ,\tb=2,, c=3'], 'a=1,b=2,c=3'],
    [['fw529a3039@dt=FfvU1u', '1a-_*/=x y'], 'fw529a3039@dt=FfvU1u,1a-_*/=x y'],
    [['a= x'], 'a= x'],
    [[''], ''],
    [[members(32)], members(32)],
    [[members(33)], ''],
    [['a=1,a=2'], ''],
    [['A=1'], ''],
    [['a=1=2'], ''],
    [['a='], ''],
    [['=1'], ''],
    [['a'], ''],
    [['a=\u00e9'], ''],
    [[`a=${'v'.repeat(256)}`], `a=${'v'.repeat(256)}`],
    [[`a=${'v'.repeat(257)}`], ''],
    [[`${'k'.repeat(257)}=v`], ''],
  ] as const) {
    const fields = ['traceparent', TRACEPARENT, ...values.flatMap((value) => ['tracestate', value])];
    assert.equal(readTraceContext(fields)?.tracestate, expected, values.join(' | '));
    assert.deepEqual(readTraceContext(fields)?.ids?.traceId, W3C_TRACE, 'a bad list takes nothing from traceparent');
  }
});

test('b3 in one field', () => {
  for (const [value, ids, sampled, debug] of [
    [`${B3_TRACE}-${B3_SPAN}-1-${B3_PARENT}`, `${B3_TRACE} ${B3_SPAN} ${B3_PARENT}`, true, false],
    [`${B3_TRACE}-${B3_SPAN}-d`, `${B3_TRACE} ${B3_SPAN}`, true, true],
    [`${B3_TRACE}-${B3_SPAN}-0`, `${B3_TRACE} ${B3_SPAN}`, false, false],
    [`${B3_TRACE}-${B3_SPAN}`, `${B3_TRACE} ${B3_SPAN}`, undefined, false],
    [`64fe8b2a57d3eff7-${B3_SPAN}-1`, `${'0'.repeat(16)}64fe8b2a57d3eff7 ${B3_SPAN}`, true, false],
    [`${B3_TRACE}-${B3_SPAN}-1`.toUpperCase(), `${B3_TRACE} ${B3_SPAN}`, true, false],
    ['0', undefined, false, false],
    ['1', undefined, true, false],
    ['d', undefined, true, true],
  ] as const) {
    const context = readTraceContext(['b3', value]);
    assert.deepEqual([idsOf(['b3', value]), context?.sampled, context?.debug], [ids, sampled, debug], value);
  }
  for (const value of [
    '',
    '2',
    B3_TRACE,
    `${B3_TRACE}-${B3_SPAN}-x`,
    `${'0'.repeat(32)}-${B3_SPAN}-1`,
    `a-${B3_SPAN}`,
  ]) {
    assert.equal(readTraceContext(['b3', value]), undefined, value);
  }
});

test('b3 in several fields', () => {
  const ids = ['x-b3-traceid', B3_TRACE, 'x-b3-spanid', B3_SPAN];
  for (const [fields, expected, sampled, debug] of [
    [[...ids, 'x-b3-sampled', '1', 'x-b3-parentspanid', B3_PARENT], `${B3_TRACE} ${B3_SPAN} ${B3_PARENT}`, true, false],
    [[...ids, 'x-b3-sampled', 'false'], `${B3_TRACE} ${B3_SPAN}`, false, false],
    [[...ids, 'x-b3-flags', '1'], `${B3_TRACE} ${B3_SPAN}`, true, true],
    [[...ids, 'x-b3-sampled', 'perhaps'], `${B3_TRACE} ${B3_SPAN}`, undefined, false],
    [['x-b3-sampled', '0'], undefined, false, false],
    [['x-b3-traceid', B3_TRACE, 'x-b3-sampled', '1'], undefined, true, false],
  ] as const) {
    const context = readTraceContext([...fields]);
    assert.deepEqual(
      [idsOf([...fields]), context?.sampled, context?.debug],
      [expected, sampled, debug],
      fields.join(' '),
    );
  }
  assert.equal(readTraceContext(['x-b3-traceid', B3_TRACE]), undefined);
});

test("l5d-ctx-trace: finagle's bytes", () => {
  for (const [value, ids, sampled, debug] of [
    [finagle(3n, 2n, 1n, 6n), '1 3 2', true, false],
    [finagle(3n, 2n, 1n, 2n), '1 3 2', false, false],
    [finagle(3n, 2n, 1n, 0n), '1 3 2', undefined, false],
    [finagle(3n, 2n, 1n, 1n), '1 3 2', true, true],
    [finagle(3n, 3n, 3n, 6n), '3 3', true, false],
    [finagle(3n, 2n, 1n, 6n, 9n), '90000000000000001 3 2', true, false],
  ] as const) {
    const context = readTraceContext(['l5d-ctx-trace', value]);
    const short = idsOf(['l5d-ctx-trace', value])
      ?.split(' ')
      .map((id) => id.replace(/^0+/, ''));
    assert.deepEqual([short?.join(' '), context?.sampled, context?.debug], [ids, sampled, debug], value);
  }
  for (const value of ['', 'AAAA', finagle(0n, 2n, 1n, 6n), finagle(3n, 2n, 0n, 6n), `!${finagle(3n, 2n, 1n, 6n)}`]) {
    assert.equal(readTraceContext(['l5d-ctx-trace', value]), undefined, value);
  }
});

test('traceparent outdoes b3, b3 X-B3-*, those l5d-ctx-trace; what cannot be read is passed over', () => {
  const fields = {
    traceparent: ['traceparent', TRACEPARENT],
    b3: ['b3', `${B3_TRACE}-${B3_SPAN}-1`],
    b3Fields: ['x-b3-traceid', 'a'.repeat(16), 'x-b3-spanid', 'b'.repeat(16)],
    l5d: ['l5d-ctx-trace', finagle(3n, 2n, 1n, 6n)],
  };
  const { traceparent, b3, b3Fields, l5d } = fields;
  const all = TraceForm.w3c | TraceForm.b3 | TraceForm.b3Fields | TraceForm.l5d;
  const traceOf = (of: string[]) => readTraceContext(of)?.ids?.traceId.replace(/^0+/, '');
  assert.equal(readTraceContext([...l5d, ...b3Fields, ...b3, ...traceparent])?.forms, all);
  assert.equal(traceOf([...l5d, ...b3Fields, ...b3, ...traceparent]), W3C_TRACE);
  assert.equal(traceOf([...l5d, ...b3Fields, ...b3, 'traceparent', 'x']), B3_TRACE);
  assert.equal(traceOf([...l5d, ...b3Fields, 'b3', 'x']), 'a'.repeat(16));
  assert.equal(traceOf([...l5d, 'b3', 'x', 'x-b3-spanid', 'x']), '1');
  assert.equal(readTraceContext(['l5d-ctx-trace', 'x', 'b3', 'x', 'tracestate', 'a=b']), undefined);
});

test('the forms that came in go out with the new span, and traceparent with them', () => {
  const ids = { traceId: B3_TRACE, spanId: B3_SPAN, parentSpanId: B3_PARENT };
  const sent = (forms: number, debug = false, tracestate = '') =>
    traceLines(ids, { forms, debug, tracestate, randomId: false });
  assert.equal(sent(0), `traceparent: 00-${B3_TRACE}-${B3_SPAN}-01\r\n`);
  assert.equal(sent(TraceForm.w3c, false, 'a=b'), `traceparent: 00-${B3_TRACE}-${B3_SPAN}-01\r\ntracestate: a=b\r\n`);
  assert.ok(sent(TraceForm.b3).endsWith(`\r\nb3: ${B3_TRACE}-${B3_SPAN}-1-${B3_PARENT}\r\n`));
  assert.ok(sent(TraceForm.b3, true).endsWith(`\r\nb3: ${B3_TRACE}-${B3_SPAN}-d-${B3_PARENT}\r\n`));
  assert.ok(
    sent(TraceForm.b3Fields).endsWith(
      `\r\nX-B3-TraceId: ${B3_TRACE}\r\nX-B3-SpanId: ${B3_SPAN}\r\nX-B3-ParentSpanId: ${B3_PARENT}\r\nX-B3-Sampled: 1\r\n`,
    ),
  );
  const [high, low] = [BigInt(`0x${B3_TRACE.slice(0, 16)}`), BigInt(`0x${B3_TRACE.slice(16)}`)];
  const l5d = finagle(BigInt(`0x${B3_SPAN}`), BigInt(`0x${B3_PARENT}`), low, 6n, high);
  assert.ok(sent(TraceForm.l5d).endsWith(`\r\nl5d-ctx-trace: ${l5d}\r\n`));
  const short = { traceId: `${'0'.repeat(16)}64fe8b2a57d3eff7`, spanId: B3_SPAN };
  const shortLines = traceLines(short, { forms: TraceForm.b3, debug: false, tracestate: '', randomId: true });
  assert.equal(shortLines, `traceparent: 00-${short.traceId}-${B3_SPAN}-03\r\nb3: 64fe8b2a57d3eff7-${B3_SPAN}-1\r\n`);
});

test('what is written is read again, in any form', () => {
  const hex = (digits: number) =>
    fc
      .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
      .map((chars) => chars.join(''))
      .filter((text) => /[1-9a-f]/.test(text));
  const traceId = fc.oneof(
    hex(32),
    hex(16).map((low) => low.padStart(32, '0')),
  );
  const form = fc.constantFrom(TraceForm.b3, TraceForm.b3Fields, TraceForm.l5d);
  fc.assert(
    fc.property(traceId, hex(16), fc.option(hex(16)), form, fc.boolean(), (trace, spanId, parent, forms, debug) => {
      const ids = { traceId: trace, spanId, parentSpanId: parent === spanId ? undefined : (parent ?? undefined) };
      const lines = traceLines(ids, { forms, debug, tracestate: '', randomId: false });
      const fields = lines
        .split('\r\n')
        .slice(0, -1)
        .flatMap((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]);
      const w3c = readTraceContext(fields);
      assert.deepEqual([w3c?.forms, w3c?.sampled], [TraceForm.w3c | forms, true]);
      assert.deepEqual(w3c?.ids, { traceId: trace, spanId });
      const other = readTraceContext(fields.slice(2));
      assert.deepEqual([other?.forms, other?.sampled, other?.debug, other?.ids], [forms, true, debug, ids]);
    }),
  );
});

test('nothing that arrives makes the reading throw', () => {
  const name = fc.constantFrom('traceparent', 'tracestate', 'b3', 'x-b3-traceid', 'x-b3-sampled', 'l5d-ctx-trace');
  const value = fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f=,;-]{0,90}$/));
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 6 }), (fields) => {
      readTraceContext(fields.flat());
    }),
  );
});

test('what a context says of sampling stands; else the rate decides, and nobody where a trace begins elsewhere', () => {
  const context = (flags: string) => readTraceContext(['traceparent', `00-${W3C_TRACE}-${W3C_SPAN}-${flags}`]);
  const open = readTraceContext(['b3', `${B3_TRACE}-${B3_SPAN}`]);
  const half = () => 0.5;
  for (const [of, rate, expected] of [
    [context('01'), 0, true],
    [context('01'), undefined, true],
    [context('00'), 1, false],
    [open, 1, true],
    [open, undefined, false],
    [undefined, 1, true],
    [undefined, 0.5, false],
    [undefined, 0.51, true],
    [undefined, 0, false],
    [undefined, undefined, false],
  ] as const) {
    assert.equal(isSampled(of, rate, half), expected);
  }
});

test('l5d-sample: 0 to 1, beyond which the nearer counts; else as if it were not there', () => {
  for (const [text, rate] of [
    ['1.0', 1],
    ['0', 0],
    ['0.25', 0.25],
    ['.5', 0.5],
    ['1e-3', 0.001],
    ['-1', 0],
    ['7', 1],
    ['', undefined],
    ['yes', undefined],
    ['0x1', undefined],
    ['NaN', undefined],
  ] as const) {
    assert.equal(askedRate(['l5d-sample', text]), rate, text);
  }
  assert.equal(askedRate(['b3', 'l5d-sample']), undefined);
});
