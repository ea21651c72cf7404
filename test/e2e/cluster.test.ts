import { after, before, describe } from 'node:test';
import { accessSuite } from './access-suite.ts';
import { Cluster } from './cluster.ts';
import { consoleSuite } from './console-suite.ts';
import { errorsSuite } from './errors-suite.ts';
import { helloWorldSuite } from './hello-world-suite.ts';
import { manifestsSuite } from './manifests-suite.ts';
import { outageSuite } from './outage-suite.ts';
import { POLICY_NAMESPACES } from './policy-pods.ts';
import { policySuite } from './policy-suite.ts';
import { scalingSuite } from './scaling-suite.ts';
import { readSettings } from './settings.ts';
import { telemetrySuite } from './telemetry-suite.ts';
import { tlsSuite } from './tls-suite.ts';
import { webhookSuite } from './webhook-suite.ts';

const SHOP = 'shop';
const TELEMETRY = 'telemetry';
const NAMESPACES = [SHOP, 'a', 'b', TELEMETRY, ...POLICY_NAMESPACES];

const cluster = new Cluster(readSettings(process.env));

/** By name, in the order in which they run. */
const SUITES: Readonly<Record<string, () => void>> = {
  'hello-world': () => helloWorldSuite(cluster, SHOP),
  access: () => accessSuite(cluster, SHOP),
  policy: () => policySuite(cluster),
  errors: () => errorsSuite(cluster, SHOP),
  telemetry: () => telemetrySuite(cluster, TELEMETRY),
  console: () => consoleSuite(cluster, SHOP),
  scaling: () => scalingSuite(cluster, SHOP),
  manifests: () => manifestsSuite(cluster, SHOP),
  webhook: () => webhookSuite(cluster, SHOP),
  tls: () => tlsSuite(cluster, SHOP),
  outage: () => outageSuite(cluster, SHOP),
};
const chosen = cluster.settings.suites ?? Object.keys(SUITES);
const unknown = chosen.filter((name) => !Object.hasOwn(SUITES, name));
if (unknown.length > 0) {
  throw new Error(
    `NODEMESH_E2E_SUITES: there is no ${unknown.join(', ')}; there are ${Object.keys(SUITES).join(', ')}`,
  );
}

// One file and one order: every suite uses the one installation, and counts what it alone sends through it.
describe(`nodemesh on a cluster, overlay ${cluster.settings.overlay ?? 'none'}`, () => {
  before(async () => {
    await cluster.uninstall(NAMESPACES); // what an interrupted run left
    await cluster.install();
    await cluster.createNamespace(SHOP);
    await cluster.startHelloWorld(SHOP);
  });
  after(() => cluster.uninstall(NAMESPACES));

  for (const suite of chosen) SUITES[suite]?.();
});
