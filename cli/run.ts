import { parseArgs } from 'node:util';
import { nearestKey } from '../lib/nearest-key.ts';
import { COMMANDS, type Command, HELP_OPTION, NAMES } from './commands.ts';
import { commandHelp, overview } from './help.ts';
import { type Call, CommandError, type Host, UsageError } from './host.ts';

/**
 * Runs the command that the arguments name and gives the status to exit with: 0, 1 for what went wrong or was not understood, and
 * 2 where commands say so themselves. Undefined where the command is a process of its own, which sees to that itself.
 */
export async function run(argv: readonly string[], host: Host): Promise<number | undefined> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h') {
    host.write(overview());
    return 0;
  }
  if (name === '--version' || name === '-V') {
    const { default: manifest } = await import('../package.json', { with: { type: 'json' } });
    host.write(`${manifest.version}\n`);
    return 0;
  }
  try {
    return await runCommand(name, rest, host);
  } catch (error) {
    if (error instanceof CommandError) host.complain(`${error.message}\n`);
    else if (error instanceof UsageError) {
      const help = Object.hasOwn(COMMANDS, name) ? `nodemesh help ${name}` : 'nodemesh help';
      host.complain(`nodemesh: ${error.message}\n${help} shows what there is\n`);
    } else throw error;
    return 1;
  }
}

async function runCommand(name: string, argv: readonly string[], host: Host): Promise<number | undefined> {
  if (name === 'help') {
    const [topic] = argv;
    host.write(topic === undefined || topic.startsWith('-') ? overview() : commandHelp(topic, find(topic)));
    return 0;
  }
  const command = find(name);
  if (argv.includes('--help') || argv.includes('-h')) {
    host.write(commandHelp(name, command));
    return 0;
  }
  if (command.process !== undefined) {
    await (await loaded(command.process, name)).main(argv);
    return undefined;
  }
  const call = { host, ...parse(name, command, argv) };
  return command.load === undefined ? undefined : (await command.load()).run(call);
}

function find(name: string): Command {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command !== undefined) return command;
  const kind = name.startsWith('-') ? 'option' : 'command';
  const nearest = nearestKey(name, [...NAMES, 'help', '--help', '--version']);
  throw new UsageError(`there is no ${kind} "${name}"${nearest === undefined ? '' : `; did you mean "${nearest}"?`}`);
}

function parse(name: string, command: Command, argv: readonly string[]): Pick<Call, 'positionals' | 'options'> {
  const known = Object.entries({ ...command.options, help: HELP_OPTION });
  const options = Object.fromEntries(
    known.map(([option, { value, short }]) => [
      option,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
  const { values, positionals, tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind === 'option') checkOption(name, command, token.name, token.rawName, token.value);
  }
  return { positionals, options: values as Call['options'] };
}

function checkOption(name: string, command: Command, option: string, written: string, value: string | undefined): void {
  const about = Object.hasOwn(command.options, option) ? command.options[option] : undefined;
  if (about === undefined) {
    const nearest = nearestKey(
      written,
      [...Object.keys(command.options), 'help'].map((known) => `--${known}`),
    );
    throw new UsageError(
      `${name} has no option ${written}${nearest === undefined ? '' : `; did you mean ${nearest}?`}`,
    );
  }
  if (about.value === undefined && value !== undefined) throw new UsageError(`${name} ${written} takes no value`);
  if (about.value !== undefined && value === undefined)
    throw new UsageError(`${name} ${written} wants a <${about.value}>`);
  if (about.values !== undefined && value !== undefined && !about.values.includes(value)) {
    throw new UsageError(`${name} ${written} is ${about.values.join(', ')}, not "${value}"`);
  }
}

/** The image holds no playground: it runs from the sources. */
async function loaded<T>(load: () => Promise<T>, name: string): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new CommandError(`nodemesh: "${name}" is not part of this build; run it from the source tree (npm start)`);
  }
}
