import { request as httpsRequest } from 'node:https';

const MAX_ANSWER_BYTES = 3 * 1024 * 1024;

/** The call failed, so that failurePolicy decides; a refusal or a bad patch is an ApiError instead. */
export class FailedCall extends Error {}

/** Where a webhook is reached. */
export interface Target {
  readonly ip: string;
  readonly port: number;
  /** For SNI and the certificate's check. */
  readonly host: string;
  /** The port in the URL: the Service's. */
  readonly urlPort: number;
  readonly path: string;
}

/** POSTs a review over TLS and parses the answer. Throws FailedCall for anything but a 200 with JSON. */
export function postReview(
  target: Target,
  caBundle: string | undefined,
  review: object,
  seconds: number,
): Promise<unknown> {
  const { ip, port, host, urlPort, path } = target;
  const url = `https://${host}:${urlPort}${path}?timeout=${seconds}s`;
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new FailedCall(`Post "${url}": ${why}`));
    const body = JSON.stringify(review);
    const request = httpsRequest({
      host: ip,
      port,
      servername: host,
      path: `${path}${path.includes('?') ? '&' : '?'}timeout=${seconds}s`,
      method: 'POST',
      headers: {
        host: `${host}:${urlPort}`,
        accept: 'application/json, */*',
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': 'kube-apiserver-admission',
      },
      agent: false,
      ...(caBundle === undefined || caBundle === '' ? {} : { ca: Buffer.from(caBundle, 'base64') }),
      signal: AbortSignal.timeout(seconds * 1_000),
    });
    const broken = (error: Error) => fail(error.name === 'AbortError' ? 'context deadline exceeded' : error.message);
    request.on('error', broken);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('error', broken);
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) request.destroy(new Error('the answer is larger than 3 MiB'));
        chunks.push(chunk);
      });
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode !== 200) return fail(`status ${response.statusCode}: ${text.slice(0, 200)}`);
        try {
          resolve(JSON.parse(text));
        } catch (error) {
          fail(`the answer is not JSON: ${messageOf(error)}`);
        }
      });
    });
    request.end(body);
  });
}

/** What went wrong, in words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
