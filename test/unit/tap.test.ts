import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseRequestHead } from '../../daemon/http/message-head.ts';
import { ProxyError } from '../../daemon/http/proxy-error.ts';
import { AccessLog } from '../../daemon/telemetry/access-log.ts';
import { combinedLine } from '../../daemon/telemetry/combined-format.ts';
import { ExchangeRecord } from '../../daemon/telemetry/exchange-record.ts';
import { matches, type RecordFilter } from '../../daemon/telemetry/record-filter.ts';
import { Recorder } from '../../daemon/telemetry/recorder.ts';
import { TapRelay } from '../../daemon/telemetry/tap-relay.ts';
import { parseTap, TapError } from '../../daemon/telemetry/tap-request.ts';
import { RateLimit, redactedHeaders } from '../../daemon/telemetry/tap-sink.ts';
import { safeJson, type ToldRecord, tell } from '../../daemon/telemetry/told-record.ts';

let time = 0;
const clocks = { now: () => time, wallClock: () => 1_700_000_000_000 + time };
const caller = { address: '10.0.0.1', port: 40_000 };

function exchange(line: string, ...fields: string[]) {
  const request = parseRequestHead([line, ...fields].join('\r\n'));
  return { request, caller, startedAt: time };
}

function recordOf(line: string, ...fields: string[]): ExchangeRecord {
  const record = new ExchangeRecord(exchange(line, 'Host: world', ...fields), {
    role: 'outgoing',
    node: 'node-1',
    clocks,
    sinks: [],
  });
  record.from('shop', 'hello', 'hello-1');
  record.destined('far', 'world');
  record.attempt({ namespace: 'far', service: 'world', pod: 'world-1', node: 'n', backend: '10.0.0.2:80' }, '', time);
  return record;
}

describe('which records a filter wants', () => {
  const record = recordOf('GET http://World/api/users?key=1 HTTP/1.1');
  record.status = 503;
  time += 20;
  record.end();
  const cases: [RecordFilter, boolean][] = [
    [{}, true],
    [{ direction: 'outgoing' }, true],
    [{ direction: 'incoming' }, false],
    [{ namespace: 'shop' }, true],
    [{ namespace: 'far' }, true],
    [{ namespace: 'sho' }, false],
    [{ service: 'world' }, true],
    [{ service: 'hello' }, false],
    [{ workload: 'hello' }, true],
    [{ workload: 'world' }, false],
    [{ pod: 'hello-1' }, true],
    [{ pod: 'world-1' }, true],
    [{ pod: 'world' }, false],
    [{ status: '5xx' }, true],
    [{ status: '503' }, true],
    [{ status: '50' }, false],
    [{ status: '4xx' }, false],
    [{ status: '0' }, false],
    [{ method: 'GET' }, true],
    [{ method: 'get' }, false],
    [{ path: '/api/users' }, true],
    [{ path: '/api' }, false],
    [{ path: '/api*' }, true],
    [{ path: '/*' }, true],
    [{ host: 'world' }, true],
    [{ host: 'other' }, false],
    [{ minMs: 20 }, true],
    [{ minMs: 21 }, false],
    [{ service: 'world', status: '4xx' }, false],
  ];
  for (const [filter, wanted] of cases) {
    test(`${JSON.stringify(filter)}: ${wanted}`, () => assert.equal(matches(filter, record), wanted));
  }
});

describe("a tap's query", () => {
  const read = (query: string) => parseTap(new URLSearchParams(query));

  test('gives a filter, and what is shown how often', () => {
    const { filter, ...rest } = read('status=5xx&path=/x*&direction=incoming&max=7&headers=true&query=false');
    assert.deepEqual({ ...filter }, { ...read('').filter, status: '5xx', path: '/x*', direction: 'incoming' });
    assert.deepEqual(rest, { max: 7, headers: true, query: false });
    assert.equal(read('').max, 100);
  });

  for (const [query, said] of [
    ['stauts=500', /unknown key "stauts"; known keys: namespace, service/],
    ['status=6xx', /status cannot be "6xx": give a status such as 503/],
    ['status=', /status is empty/],
    ['status=200&status=404', /status is there twice/],
    ['direction=up', /give outgoing or incoming/],
    ['path=x', /give a path such as/],
    ['path=/a?b', /give a path such as/],
    ['max=0', /1 to 1000/],
    ['max=1001', /1 to 1000/],
    ['max=-1', /1 to 1000/],
    ['headers=yes', /give true or false/],
    ['minMs=fast', /milliseconds/],
    ['__proto__=x', /unknown key "__proto__"/],
  ] as const) {
    test(`${query} is refused with what is allowed`, () => {
      assert.throws(
        () => read(query),
        (error) => error instanceof TapError && said.test(error.message),
      );
    });
  }
});

describe('what is told of a record', () => {
  test('secrets are not: query strings, user names in targets, headers that hold some', () => {
    const record = recordOf(
      'GET http://ann:pw@world/a?token=1 HTTP/1.1',
      'Authorization: Bearer abc',
      'COOKIE: id=1',
      'X-Own: secret',
      'X-Plain: one',
      'x-plain: two',
      '__proto__: x',
    );
    const headersBut = redactedHeaders(['X-Own']);
    const told = tell(record, { headersBut });
    assert.equal(told.host, 'world');
    assert.equal(told.uri, '/a?…');
    assert.equal(told.request_headers?.authorization, '[redacted]');
    assert.equal(told.request_headers?.cookie, '[redacted]');
    assert.equal(told.request_headers?.['x-own'], '[redacted]');
    assert.equal(told.request_headers?.['x-plain'], 'one, two');
    assert.ok(Object.keys(told.request_headers ?? {}).includes('__proto__'));
    assert.equal(tell(record, { query: true }).uri, '/a?token=1');
    assert.equal('request_headers' in tell(record), false);
    assert.equal(/pw|Bearer|token=1/.test(JSON.stringify(told)), false);
  });

  test('times are shared out between the pod and the daemon', () => {
    const record = recordOf('GET / HTTP/1.1');
    time += 30;
    record.attemptEnded(time);
    record.retried('connect_failed');
    time += 5;
    record.attempt({ namespace: 'a', service: 'b', pod: 'c', node: '', backend: '10.0.0.3:80' }, '10.9.0.1:4141', time);
    time += 10;
    record.end();
    const { total_ms, processing_ms, attempts, retries, backend, peer, dst_pod } = tell(record);
    assert.deepEqual(
      { total_ms, processing_ms, attempts, retries, backend, peer, dst_pod },
      {
        total_ms: 45,
        processing_ms: 5,
        attempts: 2,
        retries: ['connect_failed'],
        backend: '10.0.0.3:80',
        peer: '10.9.0.1:4141',
        dst_pod: 'c',
      },
    );
  });

  test('JSON of it is one line, and moves no terminal', () => {
    const text = 'a\r\n"\u001b[2J\u009b31m\u007f\u2028\u0085';
    const line = safeJson({ text });
    assert.match(line, /^[\x20-\x7e]*$/);
    assert.deepEqual(JSON.parse(line), { text });
  });

  test("a line in Apache's combined format holds together, whatever the request says", () => {
    const record = recordOf('GET /a"b?key=1 HTTP/1.1', 'User-Agent: x" 200\\\u009b', 'Referer: http://a/?key=1');
    record.status = 200;
    record.responseBytes = 12;
    record.end();
    const line = combinedLine(record);
    assert.match(
      line.replace(/\[[^\]]*\]/, '[]'),
      /^world 10\.0\.0\.1 - - \[\] "GET \/a\\"b\?\.\.\. HTTP\/1\.1" 200 12 "http:\/\/a\/\?\.\.\." "x\\" 200\\\\\\xc2\\x9b"$/,
    );
    assert.match(line, /\[14\/Nov\/2023:22:13:2\d \+0000\]/);
  });

  test('what came of a trace is told', () => {
    const id = '4bf92f3577b34da6a3ce929d0e0e4736';
    assert.equal(tell(recordOf('GET / HTTP/1.1', `traceparent: 00-${id}-00f067aa0ba902b7-01`)).trace_id, id);
    assert.equal(tell(recordOf('GET / HTTP/1.1', 'traceparent: nonsense')).trace_id, '');
  });
});

test('a rate limit lets so many through a second', () => {
  const limit = new RateLimit(3, clocks.now);
  const taken = () => Array.from({ length: 5 }, () => limit.take()).filter((one) => one).length;
  assert.equal(taken(), 3);
  time += 999;
  assert.equal(taken(), 0);
  time += 1;
  assert.equal(taken(), 3);
});

describe('an access log', () => {
  const logOf = (options: Partial<ConstructorParameters<typeof AccessLog>[0]>) => {
    const lines: ToldRecord[] = [];
    const recorder = new Recorder('node-1', clocks);
    recorder.add(
      new AccessLog({
        sampleRate: 1,
        only: [],
        redact: [],
        random: () => 0.5,
        writer: { write: (line) => lines.push(JSON.parse(line)) },
        ...options,
      }),
    );
    const ask = (status: number) => {
      const record = recorder.begin(exchange('GET /x HTTP/1.1', 'Host: world', 'User-Agent: curl'), 'outgoing');
      if (record !== undefined) record.status = status;
      record?.end();
    };
    return { lines, ask, recorder };
  };

  test('has what is drawn, and what a rule names whatever is drawn', () => {
    const rules = logOf({ sampleRate: 0, only: [{ status: '5xx' }, { status: '404' }] });
    for (const status of [200, 404, 403, 503]) rules.ask(status);
    assert.deepEqual(
      rules.lines.map(({ status }) => status),
      [404, 503],
    );
    for (const [sampleRate, count] of [
      [0.6, 1],
      [0.4, 0],
      [0, 0],
    ] as const) {
      const drawn = logOf({ sampleRate });
      drawn.ask(200);
      assert.equal(drawn.lines.length, count);
    }
  });

  test('shows nothing of keys that are not to be shown', () => {
    const log = logOf({ redact: ['user_agent', 'dst_pod'] });
    log.ask(200);
    assert.deepEqual([log.lines[0]?.user_agent, log.lines[0]?.dst_pod], ['[redacted]', '']);
  });

  test('has a line for what could not be read as a request', () => {
    const log = logOf({});
    const error = new ProxyError('bad_request', 'x');
    log.recorder.refused(caller, 'outgoing', error);
    const [line] = log.lines;
    assert.deepEqual(
      [line?.error, line?.status, line?.method, line?.client_addr, line?.response_bytes],
      ['bad_request', 400, '', '10.0.0.1:40000', Buffer.byteLength(error.body)],
    );
  });
});

test('nobody who wants a record, and there is none', () => {
  const recorder = new Recorder('node-1', clocks);
  const sink = { wants: () => false, ended: () => assert.fail('told of nothing') };
  assert.equal(recorder.begin(exchange('GET / HTTP/1.1', 'Host: a'), 'outgoing'), undefined);
  recorder.add(sink);
  assert.equal(recorder.begin(exchange('GET / HTTP/1.1', 'Host: a'), 'outgoing'), undefined);
});

test("a worker's batches wait until the last has been taken, and what finds no room is counted", (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const recorder = new Recorder('node-1', clocks);
  const batches: { records: number; dropped: number }[] = [];
  const relay = new TapRelay({
    recorder,
    redacted: new Set(),
    now: () => (time += 1_000), // so that the rate is never too high
    post: ({ records, dropped }) => batches.push({ records: records.length, dropped }),
  });
  const ask = (count: number) => {
    for (let i = 0; i < count; i += 1) recorder.begin(exchange('GET / HTTP/1.1', 'Host: a'), 'outgoing')?.end();
  };
  relay.open(1, parseTap(new URLSearchParams()));
  ask(2);
  t.mock.timers.tick(100);
  ask(1_003);
  t.mock.timers.tick(100);
  assert.deepEqual(batches, [{ records: 2, dropped: 0 }]);
  relay.taken(1);
  t.mock.timers.tick(100);
  assert.deepEqual(batches[1], { records: 1_000, dropped: 3 });
  relay.close(1);
  assert.equal(recorder.begin(exchange('GET / HTTP/1.1', 'Host: a'), 'outgoing'), undefined);
});
