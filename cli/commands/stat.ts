import type { Call } from '../host.ts';
import { statCommand } from '../telemetry/stat-look.ts';

/** `nodemesh stat`: see commands.ts. */
export function run(call: Call): Promise<number> {
  return statCommand(call, 'stat', { sort: 'name', again: call.options.watch === true });
}
