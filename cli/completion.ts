import { COMMANDS, type Command, HELP_OPTION, type Option } from './commands.ts';

export type Shell = 'bash' | 'zsh' | 'fish';
export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

type NamedOption = readonly [name: string, option: Option];

/** The completion script of a shell. It holds every command and option, and calls nothing. */
export function completionScript(shell: Shell): string {
  return `${{ bash, zsh, fish }[shell]().join('\n')}\n`;
}

function optionsOf(command: Command): NamedOption[] {
  return Object.entries({ ...command.options, help: HELP_OPTION });
}

function bash(): string[] {
  const words = [...Object.keys(COMMANDS), 'help', '--help', '--version'].join(' ');
  return [
    '# source <(nodemesh completion bash)',
    '_nodemesh() {',
    `  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} words= files=`,
    '  if ((COMP_CWORD == 1)); then',
    `    words='${words}'`,
    '  else',
    `    case \${COMP_WORDS[1]} in`,
    `    help) words='${Object.keys(COMMANDS).join(' ')}' ;;`,
    ...Object.entries(COMMANDS).flatMap(([name, command]) => [`    ${name})`, ...bashCommand(command), '      ;;']),
    '    esac',
    '  fi',
    '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
    '  if [[ -n $files ]]; then COMPREPLY+=($(compgen -f -- "$cur")); fi',
    '}',
    'complete -o filenames -F _nodemesh nodemesh',
  ];
}

function bashCommand(command: Command): string[] {
  const options = optionsOf(command);
  const wanting = options.filter(([, { value }]) => value !== undefined);
  const spelled = ([name, { short }]: NamedOption) => (short === undefined ? `--${name}` : `-${short} | --${name}`);
  return [
    '      case $prev in',
    ...wanting.map((option) => {
      const { values, value } = option[1];
      const what = values !== undefined ? `words='${values.join(' ')}'` : value === 'file' ? 'files=1' : ':';
      return `      ${spelled(option)}) ${what} ;;`;
    }),
    '      *)',
    `        if [[ $cur == -* ]]; then words='${options.map(([name]) => `--${name}`).join(' ')}'`,
    `        else ${command.takesFiles === true ? 'files=1' : `words='${(command.words ?? []).join(' ')}'`}; fi`,
    '        ;;',
    '      esac',
  ];
}

function zsh(): string[] {
  return [
    '#compdef nodemesh',
    '_nodemesh() {',
    '  local -a commands=(',
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `    ${quoted(`${name}:${summary}`)}`),
    `    ${quoted('help:a command with its options and examples')}`,
    '  )',
    '  if (( CURRENT == 2 )); then',
    '    _describe command commands',
    '    return',
    '  fi',
    '  shift words',
    '  (( CURRENT-- ))',
    '  case $words[1] in',
    '  help) _describe command commands ;;',
    ...Object.entries(COMMANDS).flatMap(([name, command]) => [
      `  ${name})`,
      '    _arguments \\',
      ...optionsOf(command).map((option) => `      ${zshOption(option)} \\`),
      `      ${zshArguments(command)}`,
      '    ;;',
    ]),
    '  esac',
    '}',
    // Either autoloaded as a function of this name, or sourced.
    'if [[ $funcstack[1] == _nodemesh ]]; then _nodemesh "$@"; else compdef _nodemesh nodemesh; fi',
  ];
}

function zshOption([name, { short, value, values, summary }]: NamedOption): string {
  const about = `[${summary.replaceAll(/[[\]]/g, '\\$&')}]`;
  const argument =
    value === undefined
      ? ''
      : `:${value}:${values === undefined ? (value === 'file' ? '_files' : '') : `(${values.join(' ')})`}`;
  const rest = quoted(`${about}${argument}`);
  return short === undefined ? `--${name}${rest}` : `{-${short},--${name}}${rest}`;
}

function zshArguments({ takesFiles, words }: Command): string {
  if (takesFiles === true) return "'*:file:_files'";
  return words === undefined ? "'*: :'" : quoted(`*: :(${words.join(' ')})`);
}

function fish(): string[] {
  const here = 'complete -c nodemesh';
  return [
    `${here} -f`,
    ...[...Object.entries(COMMANDS), ['help', { summary: 'a command with its options and examples' }] as const].map(
      ([name, { summary }]) => `${here} -n __fish_use_subcommand -a ${name} -d ${fishQuoted(summary)}`,
    ),
    `${here} -n __fish_use_subcommand -l version -d 'which one this is'`,
    `${here} -n '__fish_seen_subcommand_from help' -a '${Object.keys(COMMANDS).join(' ')}'`,
    ...Object.entries(COMMANDS).flatMap(([name, command]) => {
      const within = `${here} -n '__fish_seen_subcommand_from ${name}'`;
      return [
        ...(command.takesFiles === true ? [`${within} -F`] : []),
        ...(command.words === undefined ? [] : [`${within} -a '${command.words.join(' ')}'`]),
        ...optionsOf(command).map(([option, { short, value, values, summary }]) => {
          const letter = short === undefined ? '' : ` -s ${short}`;
          const wants =
            value === undefined
              ? ''
              : values === undefined
                ? value === 'file'
                  ? ' -r -F'
                  : ' -x'
                : ` -x -a '${values.join(' ')}'`;
          return `${within}${letter} -l ${option}${wants} -d ${fishQuoted(summary)}`;
        }),
      ];
    }),
  ];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
}
