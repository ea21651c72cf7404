// Plain JavaScript on purpose: a Node that is too old for the rest reads this, and says so.
import * as module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const OLDEST_MAJOR = 24; // strips types, and has http.Agent's proxyEnv

if (Number(process.versions.node.split('.')[0]) >= OLDEST_MAJOR) {
  // Stripped and compiled code is kept, which halves the time of a start: at home, where nobody else can put any.
  module.enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'nodemesh'));
  await import('./main.ts');
} else {
  process.stderr.write(
    `nodemesh: Node ${OLDEST_MAJOR} or later is needed, and this is ${process.version}; npm ci brings one, which cli/nodemesh finds\n`,
  );
  process.exitCode = 1;
}
