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

// One file and one order: every suite uses the one installation, and counts what it alone sends through it.
describe(`nodemesh on a cluster, overlay ${cluster.settings.overlay ?? 'none'}`, () => {
  before(async () => {
    await cluster.uninstall(NAMESPACES); // what an interrupted run left
    await cluster.install();
    await cluster.createNamespace(SHOP);
    await cluster.startHelloWorld(SHOP);
  });
  after(() => cluster.uninstall(NAMESPACES));

  helloWorldSuite(cluster, SHOP);
  accessSuite(cluster, SHOP);
  policySuite(cluster);
  errorsSuite(cluster, SHOP);
  telemetrySuite(cluster, TELEMETRY);
  consoleSuite(cluster, SHOP);
  scalingSuite(cluster, SHOP);
  manifestsSuite(cluster, SHOP);
  webhookSuite(cluster, SHOP);
  tlsSuite(cluster, SHOP);
  outageSuite(cluster, SHOP);
});
