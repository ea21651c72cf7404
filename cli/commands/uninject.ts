import type { Call } from '../host.ts';
import { uninjectManifest } from '../manifests/rewrite.ts';
import { rewriteAll } from '../manifests/rewrite-all.ts';

/** `nodemesh uninject`: see commands.ts. */
export function run(call: Call): Promise<number> {
  return rewriteAll(call, {
    rewrite: uninjectManifest,
    describe: ({ containers, reasons }) =>
      containers.length > 0
        ? [`uninjected: ${containers.join(', ')}`]
        : reasons.map(({ id, text }) => `not changed: ${text} (${id})`),
    isRefused: () => false,
  });
}
