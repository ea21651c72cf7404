/**
 * Where a worker thread starts: serves the config's ports beside the main thread, with what that tells it of the cluster
 * and of the daemon's identity. Asks no API server, and has no admin server.
 */
import { performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { DataPath } from '../data-path.ts';
import { ClusterState } from '../discovery/cluster-state.ts';
import { provesIdentity } from '../peer-transport.ts';
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts';
import { ToldIdentity } from './told-identity.ts';

const { config, environment, place, logLevel } = workerData as WorkerStart;
const now = () => performance.now(); // counts from the start of the process in every thread
const state = new ClusterState(environment.nodeName, now);
const identity = provesIdentity(config) ? new ToldIdentity() : undefined;
const registry = new MetricsRegistry();
const dataPath = new DataPath({
  config,
  environment,
  place,
  state,
  identity,
  registry,
  log: createLog('nodemesh-daemon', logLevel).child({ worker: place.index }),
  now,
  wallClock: Date.now,
  random: Math.random,
});

function tell(message: FromWorker): void {
  parentPort?.postMessage(message);
}

function obey(message: ToWorker): void {
  if (message.kind === 'cluster') state.apply(message.change);
  else if (message.kind === 'identity') identity?.set(message.identity);
  else if (message.kind === 'scrape') {
    tell({ kind: 'metrics', scrape: message.scrape, snapshot: registry.snapshot() });
  } else if (message.kind === 'drain') dataPath.drain().then(() => tell({ kind: 'drained' }));
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
