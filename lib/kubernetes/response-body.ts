import type { IncomingMessage } from 'node:http';
import { StringDecoder } from 'node:string_decoder';

/** etcd holds no object larger than 1.5 MiB; an event with a few times that is none of Kubernetes'. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

/** Reads a body whole, as UTF-8. Throws for one of more than `maxBytes`, and for one that breaks off. */
export async function readText(response: IncomingMessage, maxBytes: number): Promise<string> {
  const { text, complete } = await readStart(response, maxBytes);
  if (!complete) throw new Error(`the answer is larger than ${maxBytes} bytes`);
  return text;
}

/** Reads at most `maxBytes` of a body, as UTF-8, and drops the connection if there is more. Throws for one that breaks off. */
export async function readStart(
  response: IncomingMessage,
  maxBytes: number,
): Promise<{ readonly text: string; readonly complete: boolean }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    // Leaving the loop destroys the response.
    if (bytes > maxBytes) return { text: Buffer.concat(chunks).toString('utf8', 0, maxBytes), complete: false };
  }
  return { text: Buffer.concat(chunks).toString(), complete: true };
}

/**
 * Decodes a stream of UTF-8 lines; reads on only when the reader does. All lines of one chunk are given in one turn of the
 * event loop. Throws for a line of more than 16 Mi characters, and whatever the source throws.
 */
export async function* readLines(source: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let begun: string[] = [];
  let begunLength = 0;
  for await (const chunk of source) {
    const [first = '', ...others] = decoder.write(chunk).split('\n');
    begun.push(first);
    begunLength += first.length;
    if (begunLength > MAX_LINE_LENGTH)
      throw new Error(`a line of the answer is longer than ${MAX_LINE_LENGTH} characters`);
    const last = others.pop();
    if (last === undefined) continue;
    yield begun.join('');
    yield* others;
    begun = [last];
    begunLength = last.length;
  }
  const rest = begun.join('');
  if (rest !== '') yield rest;
}
