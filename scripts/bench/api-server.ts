/**
 * An API server of a synthetic cluster, made for its size alone: lists in pages, watches, no writes. A process of its own, which
 * carries out orders and reports of each; it ends with the process that started it. Arguments: its start as JSON.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { type ClusterShape, type Collection, KINDS, SyntheticCluster } from './synthetic-cluster.ts';
import type { ProbePlace } from './synthetic-nodes.ts';

export interface ApiServerStart {
  readonly port: number;
  readonly shape: ClusterShape;
  readonly probe: ProbePlace;
  readonly key: string;
  readonly cert: string;
}

/** What the server is told to do; each is answered by one ApiServerReport. */
export type ApiServerOrder =
  /** So many pods are replaced a minute from now on. */
  | { readonly kind: 'churn'; readonly podsPerMinute: number }
  /** The probe's other pod becomes the ready one. */
  | { readonly kind: 'flip' }
  /** All watches end because their history is gone, and so everything is listed again. */
  | { readonly kind: 'expire' }
  | { readonly kind: 'count' };

export interface ApiServerReport {
  readonly events: number;
  readonly listedBytes: number;
  readonly listsDone: number;
  /** After a flip: when the event was written, ns of the monotonic clock that all processes share, and the new address. */
  readonly writtenAtNs?: string;
  readonly ip?: string;
}

const PATHS: Readonly<Record<string, Collection>> = {
  '/api/v1/services': 'services',
  '/apis/discovery.k8s.io/v1/endpointslices': 'endpointslices',
  '/api/v1/nodes': 'nodes',
  '/api/v1/pods': 'pods',
  '/apis/networking.k8s.io/v1/networkpolicies': 'networkpolicies',
};
const TICK_MS = 50;
const BOOKMARK_MS = 30_000;
/** From a pod's end to the one that takes its place. */
const REPLACED_AFTER_MS = 1_000;
/** Kubelets report their node's status as often, changed or not. */
const NODE_STATUS_S = 300;
const KEPT_EVENTS = 2_000;

interface Event {
  readonly resourceVersion: number;
  readonly collection: Collection;
  readonly text: string;
}

const start = JSON.parse(process.argv[2] ?? '') as ApiServerStart;
const cluster = new SyntheticCluster(start.shape, start.probe);
const items: Readonly<Record<Collection, Buffer[]>> = {
  services: [],
  endpointslices: [],
  nodes: [],
  pods: [],
  networkpolicies: [],
};
const watches = new Map<ServerResponse, Collection>();
const returning: { readonly endpoint: number; readonly at: number }[] = [];
let log: Event[] = [];
let resourceVersion = 1_000;
let oldest = 0;
let events = 0;
let listedBytes = 0;
let listsDone = 0;
let podsPerMs = 0;
let podsDue = 0;
let nodesDue = 0;
let random = 1;
let tickedAt = performance.now();

for (const collection of Object.keys(items) as Collection[]) {
  for (let i = 0; i < cluster.count(collection); i += 1) items[collection].push(render(collection, i));
}
createServer({ key: start.key, cert: start.cert }, answer).listen(start.port, '127.0.0.1');
setInterval(tick, TICK_MS);
setInterval(() => {
  for (const [response, collection] of watches) {
    const object = { ...KINDS[collection], metadata: { resourceVersion: String(resourceVersion) } };
    response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }
}, BOOKMARK_MS);
process.on('disconnect', () => process.exit());
process.on('message', (order: ApiServerOrder) => process.send?.(carryOut(order)));

function carryOut(order: ApiServerOrder): ApiServerReport {
  let flip = {};
  if (order.kind === 'churn') podsPerMs = order.podsPerMinute / 60_000;
  else if (order.kind === 'expire') expire();
  else if (order.kind === 'flip') {
    const ip = cluster.flipProbe();
    changed('endpointslices', cluster.probeSlice);
    flip = { ip, writtenAtNs: String(process.hrtime.bigint()) };
  }
  return { events, listedBytes, listsDone, ...flip };
}

function tick(): void {
  const now = performance.now();
  podsDue += (now - tickedAt) * podsPerMs;
  nodesDue += podsPerMs === 0 ? 0 : ((now - tickedAt) / 1_000) * (start.shape.nodes / NODE_STATUS_S);
  tickedAt = now;
  for (; podsDue >= 1; podsDue -= 1) {
    const endpoint = draw(cluster.endpoints);
    changed('endpointslices', cluster.replace(endpoint, 'leaves'));
    returning.push({ endpoint, at: now + REPLACED_AFTER_MS });
  }
  for (; (returning[0]?.at ?? Number.POSITIVE_INFINITY) <= now; ) {
    changed('endpointslices', cluster.replace(returning.shift()?.endpoint ?? 0, 'comes'));
  }
  for (; nodesDue >= 1; nodesDue -= 1) changed('nodes', draw(start.shape.nodes));
}

/** A number below `limit`, from a seed (xorshift). */
function draw(limit: number): number {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return (random >>> 0) % limit;
}

function render(collection: Collection, index: number): Buffer {
  return Buffer.from(JSON.stringify(cluster.object(collection, index, resourceVersion)));
}

function changed(collection: Collection, index: number): void {
  resourceVersion += 1;
  const item = render(collection, index);
  items[collection][index] = item;
  const { kind, apiVersion } = KINDS[collection];
  const text = `{"type":"MODIFIED","object":{"kind":"${kind}","apiVersion":"${apiVersion}",${item.toString().slice(1)}}\n`;
  log.push({ resourceVersion, collection, text });
  if (log.length > 2 * KEPT_EVENTS) {
    log = log.slice(KEPT_EVENTS);
    oldest = (log[0]?.resourceVersion ?? 1) - 1;
  }
  events += 1;
  for (const [response, watched] of watches) if (watched === collection) response.write(text);
}

function expire(): void {
  log = [];
  oldest = resourceVersion;
  const object = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
  for (const response of watches.keys()) response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
  watches.clear();
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'https://api');
  const collection = PATHS[url.pathname];
  response.setHeader('content-type', 'application/json');
  if (url.pathname === '/apis/discovery.k8s.io/v1') response.end('{"resources":[{"name":"endpointslices"}]}');
  else if (collection === undefined) response.writeHead(404).end('{"kind":"Status","reason":"NotFound","code":404}');
  else if (url.searchParams.get('watch') === 'true')
    watch(collection, Number(url.searchParams.get('resourceVersion')), response);
  else list(collection, url.searchParams, response);
}

function watch(collection: Collection, from: number, response: ServerResponse): void {
  if (from < oldest) {
    response.writeHead(410).end('{"kind":"Status","reason":"Expired","code":410}');
    return;
  }
  response.flushHeaders();
  for (const event of log) {
    if (event.collection === collection && event.resourceVersion > from) response.write(event.text);
  }
  watches.set(response, collection);
  response.on('close', () => watches.delete(response));
}

function list(collection: Collection, query: URLSearchParams, response: ServerResponse): void {
  const all = items[collection];
  const [version = '', begin = '0'] = (query.get('continue') ?? `${resourceVersion}:0`).split(':');
  const end = Math.min(all.length, Number(begin) + Number(query.get('limit') ?? all.length));
  const { kind, apiVersion } = KINDS[collection];
  const metadata = { resourceVersion: version, ...(end < all.length ? { continue: `${version}:${end}` } : {}) };
  const head = `{"kind":"${kind}List","apiVersion":"${apiVersion}","metadata":${JSON.stringify(metadata)},"items":[`;
  const comma = Buffer.from(',');
  const parts = all.slice(Number(begin), end).flatMap((item, i) => (i === 0 ? [item] : [comma, item]));
  const body = Buffer.concat([Buffer.from(head), ...parts, Buffer.from(']}\n')]);
  listedBytes += body.length;
  if (end === all.length) listsDone += 1;
  response.end(body);
}
