import { type ExecFileException, execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** Why a test that needs a program is skipped; false where it is there. */
export function without(program: string): string | false {
  return spawnSync(program, ['--version']).error === undefined ? false : `${program} is not installed`;
}

/** What the application saw of a request; every answer is one of these. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly expect: string | undefined;
  readonly encoding: string | undefined;
  readonly length: number;
  readonly sha256: string;
}

/** Answers with what it has seen, once the body is complete; `/chunked` in chunks. */
export async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const piece of request) {
    hash.update(piece as Buffer);
    length += (piece as Buffer).length;
  }
  const { method = '', url = '', headers } = request;
  const seen: Seen = {
    method,
    url,
    host: headers.host ?? '',
    expect: headers.expect,
    encoding: headers['transfer-encoding'],
    length,
    sha256: hash.digest('hex'),
  };
  const body = `${JSON.stringify(seen)}\n`;
  if (url === '/chunked') response.write(body.slice(0, 5));
  else response.setHeader('Content-Length', body.length);
  response.end(url === '/chunked' ? body.slice(5) : body);
}

/** Echoes WebSocket text messages of up to 125 bytes (RFC 6455). */
export function echoMessages(request: IncomingMessage, socket: Duplex): void {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash('sha1').update(key).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on('error', () => {});
  socket.on('data', (frame: Buffer) => {
    const length = (frame[1] ?? 0) & 0x7f;
    const payload = frame.subarray(6, 6 + length).map((byte, i) => byte ^ (frame[2 + (i % 4)] ?? 0));
    socket.write(Buffer.concat([Buffer.from([frame[0] ?? 0, length]), payload]));
  });
}

/** What a client has printed of an answer. */
export function seen(text: string): Seen {
  return JSON.parse(text) as Seen;
}

export interface RunOptions {
  readonly input?: Buffer;
  readonly env?: object;
}
export type RunClient = (program: string, args: readonly string[], options?: RunOptions) => Promise<string>;

/** Runs a program whose environment says no more than where the proxy is; gives what it prints. */
export function runClient(
  program: string,
  args: readonly string[],
  { proxy, home, input, env }: RunOptions & { readonly proxy: string; readonly home: string },
): Promise<string> {
  const environment = { PATH: process.env.PATH, HOME: home, http_proxy: proxy, https_proxy: proxy, ...env };
  return new Promise<string>((resolve, reject) => {
    const options = { env: environment, timeout: 60_000 };
    const child = execFile(program, args, options, (error: ExecFileException | null, out, err) => {
      if (error === null) resolve(out);
      else reject(new Error(`${program} ${args.join(' ')}: ${error.message}\n${err}`));
    });
    child.stdin?.end(input);
  });
}
