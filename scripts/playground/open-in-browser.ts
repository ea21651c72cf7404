import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

interface Surroundings {
  readonly platform: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * The program that opens a URL in the user's browser: `open` on macOS, elsewhere `xdg-open`, where it is in PATH and there is a
 * display; a browser in the terminal would take the playground's. Undefined where there is none, in CI (`CI`), and where the user
 * wants none (`NO_BROWSER`, `BROWSER=none`).
 */
export function browserOpener(
  { platform, env }: Surroundings,
  exists: (path: string) => boolean = existsSync,
): string | undefined {
  if (env.CI || env.NO_BROWSER || env.BROWSER === 'none') return undefined;
  const name = platform === 'darwin' ? 'open' : 'xdg-open';
  if (platform !== 'darwin' && !env.DISPLAY && !env.WAYLAND_DISPLAY) return undefined;
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find((path) => exists(path));
}

/** Opens it where that is possible and stdout is a terminal, and says nothing where not: the URL has been told. */
export function openInBrowser(url: string, surroundings: Surroundings, isTerminal: boolean): void {
  const opener = isTerminal ? browserOpener(surroundings) : undefined;
  if (opener === undefined) return;
  const child = spawn(opener, [url], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}
