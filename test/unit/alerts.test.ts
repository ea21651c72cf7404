import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';

/** The alerts of manifests/monitoring by Prometheus' own promtool: their syntax, and what fires when (test/alerts). */

const here = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const skip =
  spawnSync('promtool', ['--version']).error === undefined ? false : 'promtool is not installed (Debian: prometheus)';

for (const file of ['daemon-rules.yaml', 'webhook-rules.yaml']) {
  test(`${file}: promtool takes it, and its alerts fire when they should`, { skip }, (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'nodemesh-alerts-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const { groups } = parse(readFileSync(here(`manifests/monitoring/${file}`), 'utf8')).spec;
    writeFileSync(join(dir, 'rules.yaml'), stringify({ groups }));
    copyFileSync(here(`test/alerts/${file}`), join(dir, 'tests.yaml'));
    for (const args of [
      ['check', 'rules', 'rules.yaml'],
      ['test', 'rules', 'tests.yaml'],
    ]) {
      const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: dir, encoding: 'utf8', timeout: 60_000 });
      assert.equal(status, 0, `promtool ${args.join(' ')}: ${stdout}${stderr}`);
    }
  });
}

test('each alert of the daemons has a case that fires it', () => {
  const { groups } = parse(readFileSync(here('manifests/monitoring/daemon-rules.yaml'), 'utf8')).spec;
  const tests = readFileSync(here('test/alerts/daemon-rules.yaml'), 'utf8');
  const alerts: string[] = groups.flatMap(({ rules }: { rules: { alert?: string }[] }) =>
    rules.flatMap(({ alert }) => alert ?? []),
  );
  assert.ok(alerts.length > 12);
  for (const alert of alerts) assert.ok(tests.includes(`alertname="${alert}"`), alert);
});
