import { completionScript, SHELLS } from '../completion.ts';
import { type Call, UsageError } from '../host.ts';

/** `nodemesh completion`: see commands.ts. */
export async function run({ host, positionals }: Call): Promise<number> {
  const shell = SHELLS.find((name) => name === positionals[0]);
  if (shell === undefined || positionals.length > 1) throw new UsageError(`completion is for ${SHELLS.join(', ')}`);
  host.write(completionScript(shell));
  return 0;
}
