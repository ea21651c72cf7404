/**
 * `npm run simulate`: what slow, failing and missing pods cost callers, on a virtual clock, with the daemon's own code for choosing pods,
 * putting them out and trying again, beside other ways of doing so; writes docs/simulate. The same seed gives the same
 * pages. `-- --seed <n>` takes another, `-- --only <scenario>` plays one, and both write nothing.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LINKERD } from './linkerd-subject.ts';
import { nodemesh } from './nodemesh-subject.ts';
import { LEAST_LOADED, ROUND_ROBIN } from './plain-subjects.ts';
import { chart, type Played, page, table } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import { simulate } from './simulation.ts';

const SUBJECTS = [
  nodemesh('nodemesh'),
  nodemesh('nodemesh, kind: p2c', { kind: 'p2c' }),
  LINKERD,
  LEAST_LOADED,
  ROUND_ROBIN,
];
const SLOW_START = nodemesh('nodemesh, slowStartMs: 30000', { slowStartMs: 30_000 });
const OUT = join(import.meta.dirname, '../../docs/simulate');

const { values } = parseArgs({ options: { seed: { type: 'string' }, only: { type: 'string' } } });
const seed = Number(values.seed ?? '1');
const played: Played[] = [];
for (const scenario of SCENARIOS) {
  if (values.only !== undefined && scenario.name !== values.only) continue;
  const subjects = scenario.coldPods ? [SLOW_START, ...SUBJECTS] : SUBJECTS;
  const results = subjects.map((subject) => ({ subject, measured: simulate(scenario, subject, seed) }));
  played.push({ scenario, results });
  process.stdout.write(`\n${scenario.name}\n${table({ scenario, results })}`);
}
if (values.seed === undefined && values.only === undefined) {
  mkdirSync(OUT, { recursive: true });
  writeFileSync(join(OUT, 'README.md'), page(played));
  writeFileSync(join(OUT, 'failed.svg'), chart(played));
}
