import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
/** Imports that exist when the program runs: those of types do not. */
const IMPORT = /^(?:import|export) (?!type\b)[^;]*?from '([^']+)';/gm;

/** Every module that importing a file loads: our own by path, others by name. */
function loadedBy(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, specifier = ''] of readFileSync(join(ROOT, file), 'utf8').matchAll(IMPORT)) {
    if (specifier.startsWith('.')) loadedBy(join(dirname(file), specifier), found);
    else found.add(specifier);
  }
  return found;
}

test('deciding and injecting load nothing but themselves, so that a command line tool can use them at no cost', () => {
  const loaded = [...loadedBy('webhook/mutation.ts')];
  const foreign = loaded.filter((one) => !one.startsWith('webhook/'));
  assert.deepEqual(foreign.sort(), ['lib/kubernetes/env-expansion.ts', 'lib/kubernetes/pod.ts', 'node:crypto']);
  assert.ok(loaded.includes('webhook/injection.ts') && loaded.includes('webhook/pod-view.ts'));
  assert.ok(loadedBy('webhook/app.ts').has('node-forge'), 'it finds what is there');
});
