import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');

test('every package in the lockfile has the hash that it must have', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { integrity?: string; resolved?: string }>;
  };
  const without = Object.entries(packages).flatMap(([path, { integrity = '' }]) =>
    path === '' || /^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity) ? [] : [path],
  );
  assert.deepEqual(without, [], 'npm install --package-lock-only with a registry that gives hashes writes them');
  const elsewhere = Object.entries(packages).flatMap(([path, { resolved }]) =>
    resolved === undefined || resolved.startsWith('https://registry.npmjs.org/') ? [] : [path],
  );
  assert.deepEqual(elsewhere, [], 'packages come from the registry alone');
});

test('SECURITY.md names tests that there are', () => {
  const named = [...read('SECURITY.md').matchAll(/`(test\/[^`*]+)`/g)].map(([, file = '']) => file);
  assert.ok(named.length > 20);
  assert.deepEqual(
    named.filter((file) => !existsSync(new URL(`../../${file}`, import.meta.url))),
    [],
  );
});

test('SECURITY.md and ARCHITECTURE.md name the packages that package.json does, with a reason for each', () => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const [, count] = /\b(\d+) packages at run time/.exec(read('SECURITY.md')) ?? [];
  assert.equal(Number(count), Object.keys(dependencies ?? {}).length);
  const section = (heading: string) =>
    read('ARCHITECTURE.md')
      .split(/^#+ /m)
      .find((text) => text.startsWith(`${heading}\n`)) ?? '';
  for (const [table, packages] of [
    [section('At run time'), dependencies],
    [section('For development'), devDependencies],
  ] as const) {
    const named = [...table.matchAll(/^\| (?!package \|)([^|]+) \| [^|\s][^|]* \|$/gm)].flatMap(([, names = '']) =>
      names.split(', '),
    );
    assert.deepEqual(named.sort(), Object.keys(packages ?? {}).sort());
  }
});
