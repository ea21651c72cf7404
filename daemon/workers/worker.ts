/**
 * Where a worker thread starts: serves the config's ports beside the main thread, with what that tells it of the cluster
 * and of the daemon's identity. Asks no API server, and has no admin server.
 */
import { performance } from 'node:perf_hooks';
import { deserialize } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Turns } from '../../lib/turns.ts';
import { DataPath } from '../data-path.ts';
import { type ClusterChange, ClusterState } from '../discovery/cluster-state.ts';
import { provesIdentity } from '../peer-transport.ts';
import { RECENT, RECENT_TAP } from '../telemetry/recent-requests.ts';
import { TapRelay } from '../telemetry/tap-relay.ts';
import { Telemetry } from '../telemetry/telemetry.ts';
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts';
import { ToldIdentity } from './told-identity.ts';

/** Those that are not applied yet. */
const changes: Uint8Array[] = [];
const { config, environment, place, logLevel } = workerData as WorkerStart;
const now = () => performance.now(); // counts from the start of the process in every thread
const state = new ClusterState(environment.nodeName, now);
const identity = provesIdentity(config) ? new ToldIdentity() : undefined;
const registry = new MetricsRegistry();
const log = createLog('nodemesh-daemon', logLevel).child({ worker: place.index });
const telemetry = new Telemetry({ config, environment, registry, log, now, wallClock: Date.now, random: Math.random });
const { recorder, redactedHeaders: redacted, recent } = telemetry;
const taps = new TapRelay({ recorder, redacted, now, post: (batch) => tell({ kind: 'tapped', batch }) });
if (recent !== undefined) taps.open(RECENT_TAP, RECENT, recent.drawn);
const dataPath = new DataPath({
  recorder,
  config,
  environment,
  place,
  state,
  identity,
  registry,
  log,
  now,
  wallClock: Date.now,
  random: Math.random,
});

function tell(message: FromWorker): void {
  parentPort?.postMessage(message);
}

/** A change stays first in line until it is applied; an error in one ends the thread, as it would end a daemon of one. */
async function applyInTurns(): Promise<void> {
  const turns = new Turns();
  for (let change = changes[0]; change !== undefined; change = changes[0]) {
    dataPath.apply(deserialize(change) as ClusterChange);
    changes.shift();
    await turns.end();
  }
}

async function drain(): Promise<void> {
  await dataPath.drain();
  await telemetry.stop();
  tell({ kind: 'drained' });
}

function obey(message: ToWorker): void {
  if (message.kind === 'cluster') {
    changes.push(message.change);
    // Not at once: messages that wait come one right after another, and each would be a turn of its own.
    if (changes.length === 1) setImmediate(applyInTurns);
  } else if (message.kind === 'identity') identity?.set(message.identity);
  else if (message.kind === 'scrape') {
    tell({ kind: 'metrics', scrape: message.scrape, snapshot: registry.snapshot() });
  } else if (message.kind === 'tap') taps.open(message.tap, message.request);
  else if (message.kind === 'untap') taps.close(message.tap);
  else if (message.kind === 'tapTaken') taps.taken(message.tap);
  else if (message.kind === 'drain') drain();
  else {
    dataPath.listen(message.ports).then(
      () => tell({ kind: 'listens' }),
      (error: unknown) => tell({ kind: 'failed', why: error instanceof Error ? error.message : String(error) }),
    );
  }
}

dataPath.start();
parentPort?.on('message', obey);
tell({ kind: 'ready' });
