import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** What is read of an answer: nothing is asked of it but its status. */
const MAX_ANSWER_BYTES = 64 * 1024;

export type CollectorAgent = HttpAgent | HttpsAgent;

/** Connections to one collector: of its own, so that no proxy of the environment (http_proxy) comes into it, and one at a time. */
export function collectorAgent(url: URL): CollectorAgent {
  const options = { keepAlive: true, maxSockets: 1 };
  return url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
}

export interface JsonPost {
  readonly url: URL;
  readonly agent: CollectorAgent;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal: AbortSignal;
}

/** Posts JSON. Settles on a 2xx; rejects with an Error for any other answer, one that is too long, and none. */
export function postJson({ url, agent, headers, body, signal }: JsonPost): Promise<void> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const fields = { ...headers, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const request = send(url, { method: 'POST', agent, headers: fields, signal }, (response) => {
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > MAX_ANSWER_BYTES) response.destroy(new Error(`${url} answers with over ${MAX_ANSWER_BYTES} bytes`));
      });
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) resolve();
        else reject(new Error(`${url} answers with status ${statusCode}`));
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}
