const USAGE = `usage: nodemesh <command>

  daemon [--validate] <config.yaml>    run the proxy of one host, or only check its config
  webhook [--validate] <config.yaml>   run the admission webhook, or only check its config
  playground [--once]                  a mesh of two nodes on this machine, without a cluster
`;

/** The commands, each loaded only when it is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<{ main(argv: readonly string[]): Promise<void> }>>> = {
  daemon: () => import('../daemon/main.ts'),
  webhook: () => import('../webhook/main.ts'),
  playground: () => import('../scripts/playground/main.ts'),
};

const [name, ...rest] = process.argv.slice(2);
if (name === undefined || name === 'help' || name === '--help') {
  process.stdout.write(USAGE);
} else if (Object.hasOwn(COMMANDS, name)) {
  const command = await COMMANDS[name]?.().catch(explainMissing);
  await command?.main(rest);
} else {
  process.stderr.write(`nodemesh: there is no command "${name}"\n\n${USAGE}`);
  process.exitCode = 2;
}

/** The image holds no playground: it runs from the sources. */
function explainMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  process.stderr.write(`nodemesh: "${name}" is not part of this build; run it from the source tree (npm start)\n`);
  process.exitCode = 1;
}
