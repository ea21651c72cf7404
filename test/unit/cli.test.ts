import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS } from '../../cli/commands.ts';
import { completionScript, SHELLS } from '../../cli/completion.ts';
import { nodemesh } from '../support/cli.ts';

const NAMES = Object.keys(COMMANDS);

test('cli: help names every command, and that of a command its options and examples', async () => {
  const overview = await nodemesh([]);
  assert.equal(overview.status, 0);
  for (const name of NAMES) assert.match(overview.out, new RegExp(`^ {2}${name} `, 'm'));
  assert.deepEqual(await nodemesh(['--help']), overview);
  assert.deepEqual(await nodemesh(['help']), overview);
  assert.deepEqual(await nodemesh(['help', '--help']), overview);

  for (const [name, { options, examples }] of Object.entries(COMMANDS)) {
    const help = await nodemesh(['help', name]);
    assert.equal(help.status, 0);
    assert.match(help.out, new RegExp(`^usage: nodemesh ${name} `));
    for (const option of Object.keys(options)) assert.match(help.out, new RegExp(`--${option} `));
    assert.ok(examples.length > 0 && examples.every(({ line }) => help.out.includes(line)), `${name}: examples`);
    assert.deepEqual(await nodemesh([name, '--help']), help);
    assert.deepEqual(await nodemesh([name, '-h', '--write']), help);
  }
});

test('cli: the examples are calls that the commands take', () => {
  for (const { line } of Object.values(COMMANDS).flatMap(({ examples }) => examples)) {
    const [, name = '', rest = ''] = /nodemesh (\S+)([^|>)]*)/.exec(line) ?? [];
    const command = COMMANDS[name];
    assert.ok(command !== undefined, line);
    for (const [, option = ''] of rest.matchAll(/ --([\w-]+)/g)) assert.ok(command.options[option] !== undefined, line);
    for (const [, short] of rest.matchAll(/ -(\w)\b/g)) {
      assert.ok(
        Object.values(command.options).some((option) => option.short === short),
        line,
      );
    }
  }
});

test('cli: --version is the package’s', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.deepEqual(await nodemesh(['--version']), { status: 0, out: `${version}\n`, err: '' });
});

const MISTAKES: readonly [readonly string[], RegExp][] = [
  [['injct'], /no command "injct"; did you mean "inject"\?/],
  [['help', 'chek-it-all'], /no command "chek-it-all"\n/],
  [['constructor'], /no command "constructor"/],
  [['--versoin'], /no option "--versoin"; did you mean "--version"\?/],
  [['inject', '--wirte', 'x'], /inject has no option --wirte; did you mean --write\?/],
  [['inject', '-x', 'x'], /inject has no option -x/],
  [['inject', '--write=yes', 'x'], /--write takes no value/],
  [['inject', '--config'], /--config wants a <file>/],
  [['inject', '--proxy-address', 'ip', 'x'], /--proxy-address is nodeName, hostIP, hostIPv6, not "ip"/],
  [['inject'], /name a file, a folder, or - for standard input/],
  [['uninject', '--write', '-'], /--write has no file to change/],
  [['completion', 'tcsh'], /completion is for bash, zsh, fish/],
];

for (const [argv, message] of MISTAKES) {
  test(`cli: nodemesh ${argv.join(' ')} is a mistake that is explained`, async () => {
    const { status, out, err } = await nodemesh(argv);
    assert.equal(status, 1);
    assert.equal(out, '');
    assert.match(err, message);
    assert.match(err, /^nodemesh help.* shows what there is$/m);
  });
}

for (const shell of SHELLS) {
  test(`cli: completion for ${shell} knows every command and option`, (t) => {
    const script = completionScript(shell);
    const options = Object.values(COMMANDS).flatMap((command) => Object.keys(command.options));
    for (const word of [...NAMES, ...options, 'hostIPv6']) assert.ok(script.includes(word), word);
    const folder = mkdtempSync(join(tmpdir(), 'nodemesh-completion-'));
    t.after(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'script'), script);
    const { error, status, stderr } = spawnSync(shell, ['-n', join(folder, 'script')], { encoding: 'utf8' });
    if (error !== undefined) return t.skip(`${shell} is not installed`);
    assert.equal(status, 0, stderr);
  });
}

/** What bash offers for the last word of a line. */
function offered(line: string): string[] {
  const words = line.split(' ');
  const ask = `${completionScript('bash')}
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
    _nodemesh; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = spawnSync('bash', ['-c', ask], { encoding: 'utf8', cwd: new URL('../..', import.meta.url) });
  return stdout.trim().split('\n').sort();
}

test('cli: bash completes commands, options, their values and files', (t) => {
  if (spawnSync('bash', ['--version']).error !== undefined) return t.skip('bash is not installed');
  assert.deepEqual(offered('nodemesh in'), ['inject']);
  assert.deepEqual(offered('nodemesh help unin'), ['uninject']);
  assert.deepEqual(offered('nodemesh inject --w'), ['--write']);
  assert.deepEqual(offered('nodemesh inject --proxy-address host'), ['hostIP', 'hostIPv6']);
  assert.deepEqual(offered('nodemesh inject README'), ['README.md']);
  assert.deepEqual(offered('nodemesh completion '), ['bash', 'fish', 'zsh']);
});

test('cli: the calls that the README shows are understood, and those that need no cluster work', async () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const calls = [...readme.matchAll(/npx nodemesh ([^|`)\n]*)/g)].map(([, call = '']) => call.trim());
  assert.ok(calls.length >= 5);
  for (const call of calls) {
    const [name = '', ...rest] = call.split(/\s+/);
    assert.ok(name === 'help' || Object.hasOwn(COMMANDS, name), call);
    if (!['help', 'completion', 'inject'].includes(name) && !call.startsWith('explain -f')) continue;
    const { status, err } = await nodemesh([name, ...rest]);
    assert.equal(status, 0, `${call}: ${err}`);
  }
});

test('cli: docs/checks.md lists every finding of check, and no others', () => {
  const root = new URL('../../', import.meta.url);
  const sources = [
    'checks/installed.ts',
    'checks/before.ts',
    'checks/certificates.ts',
    'checks/placement.ts',
    'checks/mesh-tls.ts',
    'commands/check.ts',
  ];
  const used = sources.flatMap((file) => {
    const text = readFileSync(new URL(`cli/${file}`, root), 'utf8');
    return [...text.matchAll(/(?:const id = |readable\(|(?:ok|warning|failure)\()'([a-z]+\.[a-z-]+)'/g)].map(
      ([, id]) => id,
    );
  });
  const listed = [...readFileSync(new URL('docs/checks.md', root), 'utf8').matchAll(/^\| `([^`]+)` \|/gm)].map(
    ([, id]) => id,
  );
  assert.equal(listed.length, 16);
  assert.deepEqual([...new Set(used)].sort(), listed.sort());
});
