/**
 * Runs inside a pod, beside what its container runs: takes lines of requests as JSON, [method, URL] each, sends each through the
 * proxy that the pod's environment names, and prints one line of their answers, [status, l5d-err or body] each.
 */
import { request } from 'node:http';
import { createInterface } from 'node:readline';

const proxy = new URL(process.env.http_proxy ?? '');
const at = { host: proxy.hostname.replace(/^\[|\]$/g, ''), port: Number(proxy.port), agent: false as const };
const TIMEOUT_MS = 10_000;

function ask([method, url]: [string, string]): Promise<[number, string]> {
  return new Promise((resolve) => {
    const sent = request({ ...at, method, path: url, headers: { host: new URL(url).host }, timeout: TIMEOUT_MS });
    sent.on('timeout', () => sent.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
    sent.on('error', (error) => resolve([0, error.message]));
    sent.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      answer.on('error', (error) => resolve([0, error.message]));
      answer.on('end', () => resolve([answer.statusCode ?? 0, String(answer.headers['l5d-err'] ?? text)]));
    });
    sent.end();
  });
}

for await (const line of createInterface(process.stdin)) {
  console.log(JSON.stringify(await Promise.all((JSON.parse(line) as [string, string][]).map(ask))));
}
