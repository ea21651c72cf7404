import type { Call } from '../host.ts';
import { statCommand } from '../telemetry/stat-look.ts';

/** `nodemesh top`: see commands.ts. */
export function run(call: Call): Promise<number> {
  return statCommand(call, 'top', { sort: 'rps', again: true });
}
