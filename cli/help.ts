import { COMMANDS, type Command, HELP_OPTION, type Option } from './commands.ts';

/** The help of the whole: every command in one line. */
export function overview(): string {
  const rows = Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary] as const);
  return [
    'usage: nodemesh <command> [options]',
    '',
    ...columns([
      ...rows,
      ['help [command]', 'a command with its options and examples'],
      ['--version', 'which one this is'],
    ]),
    '',
    'Examples:',
    ...columns([
      ['nodemesh inject shop.yaml | kubectl apply -f -', COMMANDS.inject?.examples[0]?.summary ?? ''],
      ['nodemesh help inject', 'its options, and more examples'],
    ]),
    '',
  ].join('\n');
}

/** The help of one command. */
export function commandHelp(name: string, command: Command): string {
  const options = Object.entries({ ...command.options, help: HELP_OPTION });
  return [
    `usage: nodemesh ${name} ${command.synopsis}`,
    '',
    `${command.summary[0]?.toUpperCase()}${command.summary.slice(1)}.`,
    '',
    'Options:',
    ...columns(options.map(([option, about]) => [spelling(option, about), about.summary])),
    '',
    'Examples:',
    ...columns(command.examples.map(({ line, summary }) => [line, summary])),
    '',
  ].join('\n');
}

function spelling(name: string, { short, value }: Option): string {
  const long = value === undefined ? `--${name}` : `--${name} <${value}>`;
  return short === undefined ? `    ${long}` : `-${short}, ${long}`;
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}   ${right}`);
}
