import { type FSWatcher, readdirSync, readFileSync, watch } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Log } from '../../lib/log.ts';
import type { Binding, Endpoint } from '../naming/endpoint.ts';

/** Editors and `cp` write in steps: a change is read this long after the last sign of it. */
const SETTLE_MS = 20;
/** Some file systems give no signs at all (network mounts): everything is read again this often. */
const RESCAN_MS = 5_000;

/** What a directory of io.l5d.fs says: names and their endpoints. */
export interface Disco {
  readonly namesVersion: number;
  binding(name: string): Binding | undefined;
}

class FileBinding implements Binding {
  readonly key: string;
  readonly namespace = '';
  readonly service: string;
  version = 0;
  #text: string | undefined;
  #endpoints: readonly Endpoint[] = [];

  /** `generation` tells a file from an earlier one of the same name. */
  constructor(name: string, generation: number) {
    this.key = `fs/${name}#${generation}`;
    this.service = name;
  }

  endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** Takes a file's text. Throws for lines that are not `host port`, and keeps what it had. */
  update(text: string, file: string): void {
    if (text === this.#text) return;
    this.#endpoints = parseDiscoFile(text, file);
    this.#text = text;
    this.version += 1;
  }
}

/**
 * Reads one file of linkerd's io.l5d.fs format: a line an endpoint, `host port` with an optional `* weight` (read and not
 * used: the balancer weighs by load); blank lines and `#` comments are skipped. Hosts are IP addresses.
 * Throws an Error naming file and line.
 */
export function parseDiscoFile(text: string, file: string): Endpoint[] {
  return text.split('\n').flatMap((raw, i) => {
    const line = raw.replace(/#.*/, '').trim();
    if (line === '') return [];
    const match = /^(\S+)\s+(\d{1,5})(?:\s*\*\s*[\d.]+)?$/.exec(line);
    const host = match?.[1] === 'localhost' ? '127.0.0.1' : match?.[1];
    const port = Number(match?.[2]);
    if (host === undefined || isIP(host) === 0 || port < 1 || port > 65_535) {
      throw new Error(`${file}: line ${i + 1}: "${line}" is not "<ip address> <port>"`);
    }
    return [
      { ip: host.toLowerCase(), port, nodeName: undefined, pod: undefined, hostname: undefined, zone: undefined },
    ];
  });
}

/** Watches one directory of io.l5d.fs. A file that cannot be read or parsed leaves its name as it was. */
export class DiscoDirectory implements Disco {
  readonly #dir: string;
  readonly #log: Log;
  readonly #bindings = new Map<string, FileBinding>();
  #watcher: FSWatcher | undefined;
  #settle: NodeJS.Timeout | undefined;
  #rescan: NodeJS.Timeout | undefined;
  namesVersion = 0;

  constructor(dir: string, log: Log) {
    this.#dir = dir;
    this.#log = log;
  }

  /** Reads everything and begins to watch. Throws the system's error where the directory cannot be read. */
  start(): void {
    readdirSync(this.#dir);
    this.#read();
    this.#watcher = watch(this.#dir, () => {
      clearTimeout(this.#settle);
      this.#settle = setTimeout(() => this.#read(), SETTLE_MS);
    });
    this.#watcher.on('error', (error) =>
      this.#log.warn({ err: error, dir: this.#dir }, 'directory watch failed; rescanning'),
    );
    this.#rescan = setInterval(() => this.#read(), RESCAN_MS);
    this.#rescan.unref();
  }

  stop(): void {
    this.#watcher?.close();
    clearTimeout(this.#settle);
    clearInterval(this.#rescan);
  }

  binding(name: string): Binding | undefined {
    return this.#bindings.get(name);
  }

  #read(): void {
    let names: string[];
    try {
      names = readdirSync(this.#dir, { withFileTypes: true })
        .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
        .map((entry) => entry.name);
    } catch (error) {
      this.#log.warn({ err: error, dir: this.#dir }, 'directory cannot be read; names stay as they were');
      return;
    }
    for (const name of names) this.#readFile(name);
    for (const name of [...this.#bindings.keys()]) {
      if (names.includes(name)) continue;
      this.#bindings.delete(name);
      this.namesVersion += 1;
    }
  }

  #readFile(name: string): void {
    const file = join(this.#dir, name);
    const known = this.#bindings.get(name);
    const binding = known ?? new FileBinding(name, this.namesVersion);
    try {
      binding.update(readFileSync(file, 'utf8'), file);
    } catch (error) {
      this.#log.warn({ err: error, file }, 'endpoints file cannot be used; its endpoints stay as they were');
    }
    if (known === undefined) {
      this.#bindings.set(name, binding);
      this.namesVersion += 1;
    }
  }
}
