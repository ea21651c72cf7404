#!/usr/bin/env node
// Plain JavaScript on purpose: it must run on any Node, and hands over to the pinned one where its own is too old.
import { spawn } from 'node:child_process';
import * as module from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST_MAJOR = 24; // strips types, and has http.Agent's proxyEnv
const self = fileURLToPath(import.meta.url);

if (Number(process.versions.node.split('.')[0]) >= OLDEST_MAJOR) {
  // Stripped and compiled code is kept, which halves the time of a start: at home, where nobody else can put any.
  module.enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'nodemesh'));
  await import('./main.ts');
} else {
  const pinned = join(dirname(module.createRequire(self).resolve('node/package.json')), 'bin', 'node');
  const child = spawn(pinned, [self, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(
      `nodemesh: Node ${OLDEST_MAJOR} or later is needed and ${pinned} cannot run: ${error.message}\n`,
    );
    process.exitCode = 1;
  });
  child.on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}
