import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority } from '../../webhook/certificate-authority.ts';
import { createNodeCertificate } from '../../webhook/node-certificate.ts';
import { haproxyPair } from './c-proxies.ts';
import { CASES } from './cases.ts';
import { buildDaemon } from './daemon.ts';
import { startGenerator } from './generator.ts';
import { freePorts, PROXY_CPU, type Processes } from './processes.ts';
import {
  cpuRatio,
  cpuRatioQuartiles,
  medianOfPairs,
  type RoundOptions,
  runRounds,
  type Series,
  seriesLine,
} from './rounds.ts';
import { DIRECT, type Subject, startTwoHops, startUpstream } from './subjects.ts';
import { TlsMesh } from './tls-mesh.ts';
import { type Verdict, verdict } from './wanted.ts';

const MEASURED = ['get-64', 'get-16k', 'paced-64'];
const ROUNDS: RoundOptions = { rounds: 7, seconds: 1, warmUpSeconds: 2, patienceSeconds: 90 };
const OWN = 'nodemesh, mTLS';
const HAPROXY = 'haproxy, mTLS';
const CPU_LIMIT = 2.2;
const ADDED_P99_MS = 2;
const DAY_MS = 86_400_000;

/**
 * What two hops with mutual TLS 1.3 between them cost, beside haproxy → haproxy with the same (AES-256-GCM, EC P-256, keep-alive),
 * each proxy on one thread, all on one core. Needs haproxy.
 */
export async function measureTls(
  processes: Processes,
  dir: string,
  root: string,
  foreignCpuUs: () => number,
  print: (line: string) => void,
): Promise<Verdict[]> {
  const webPort = await startUpstream(processes);
  const main = buildDaemon(root);
  const mesh = await TlsMesh.start({ processes, dir, main, webPort });
  try {
    const subjects: Subject[] = [
      { name: OWN, own: true, port: mesh.port, pids: mesh.daemons.map(({ pid }) => pid) },
      { ...(await startTwoHops(processes, dir, main, webPort)), name: 'nodemesh, plaintext' },
      ...(await startHaproxies(processes, dir, webPort)),
      { name: DIRECT, port: webPort, pids: [] },
    ];
    const cases = CASES.filter(({ name }) => MEASURED.includes(name));
    const measured = await runRounds(startGenerator(processes), cases, subjects, ROUNDS, foreignCpuUs);
    const { series, failed, repeated, disturbed } = measured;
    for (const line of failed) print(`left out: ${line}`);
    print(
      `${series.length * ROUNDS.rounds} samples, ${repeated} repeated, ${disturbed} kept though other programs ran`,
    );
    for (const one of series) print(seriesLine(one));
    return verdictsOf(series);
  } finally {
    await mesh.stop();
  }
}

/** Two haproxies, the first of which reaches the second by mutual TLS; with and without TLS between them. */
async function startHaproxies(processes: Processes, dir: string, webPort: number): Promise<Subject[]> {
  const own = join(dir, 'haproxy-tls');
  mkdirSync(own);
  await writeCredentials(own);
  const subjects: Subject[] = [];
  for (const tls of [true, false]) {
    const [port = 0, between = 0] = await freePorts(2);
    const pids: number[] = [];
    for (const [listens, config] of haproxyPair(own, { port, between, webPort, tls })) {
      const file = join(own, `${listens}.cfg`);
      writeFileSync(file, config);
      const child = processes.start('haproxy', ['-db', '-f', file], { cpu: PROXY_CPU });
      pids.push(await processes.listening(child, listens));
    }
    subjects.push({ name: tls ? HAPROXY : 'haproxy, plaintext', port, pids });
  }
  return subjects;
}

/** `own.pem` (certificate and key) and `ca.pem`, as haproxy takes them. */
async function writeCredentials(dir: string): Promise<void> {
  const now = Date.now();
  const ca = await createAuthority(now);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = createNodeCertificate({
    authority: { certificate: new X509Certificate(ca['ca.crt']), privateKey: createPrivateKey(ca['ca.key']) },
    publicKey,
    uri: 'spiffe://cluster.local/node/node-1',
    notBefore: now - DAY_MS,
    notAfter: now + DAY_MS,
  });
  writeFileSync(join(dir, 'own.pem'), `${certificate}\n${privateKey.export({ type: 'pkcs8', format: 'pem' })}`);
  writeFileSync(join(dir, 'ca.pem'), ca['ca.crt']);
}

function verdictsOf(series: readonly Series[]): Verdict[] {
  const find = (name: string, subject: string) =>
    series.find((one) => one.case.name === name && one.subject.name === subject);
  const ratios = ['get-64', 'get-16k'].flatMap((name) => {
    const [own, other] = [find(name, OWN), find(name, HAPROXY)];
    if (own === undefined || other === undefined) return [];
    const [low, high] = cpuRatioQuartiles(own, other);
    const what = `CPU ÷ haproxy's, ${name} (${low.toFixed(2)} to ${high.toFixed(2)})`;
    return [verdict(what, CPU_LIMIT, cpuRatio(own, other), '')];
  });
  const [own, direct] = [find('paced-64', OWN), find('paced-64', DIRECT)];
  if (own === undefined || direct === undefined) return ratios;
  const added = medianOfPairs(own, direct, (proxied, straight) => proxied.p99Ms - straight.p99Ms);
  return [...ratios, verdict('added p99 at 1 000 requests/s', ADDED_P99_MS, added, ' ms')];
}
