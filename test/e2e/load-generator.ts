/**
 * Runs inside a pod: GETs LOAD_URL, LOAD_RPS times a second, whatever the answers, through the proxy that the pod's
 * environment names, and remembers each. On the pod's loopback, port 7070: `/count` is how many got an answer so far;
 * `/stop` ends it, waits for the answers that are due, and gives all as JSON. (Not as a log: kubelets that share a machine,
 * as in a cluster of network namespaces, tidy away each other's.)
 */
import { Agent, createServer, get } from 'node:http';

const { LOAD_URL = '', LOAD_RPS = '' } = process.env;
const TIMEOUT_MS = 10_000;
const agent = new Agent({ keepAlive: true, proxyEnv: process.env });
const shots: object[] = [];
let open = 0;
const timer = setInterval(ask, 1000 / Number(LOAD_RPS));

createServer((request, answer) => {
  if (request.url === '/count') {
    answer.end(String(shots.length));
    return;
  }
  clearInterval(timer);
  const waiting = setInterval(() => {
    if (open > 0) return;
    clearInterval(waiting);
    answer.end(JSON.stringify(shots));
  }, 50);
}).listen(7070, '127.0.0.1');

function ask(): void {
  const at = Date.now();
  open += 1;
  let due = true;
  const done = (status: number, text: string) => {
    if (!due) return;
    due = false;
    open -= 1;
    shots.push({ at, ended: Date.now(), status, text: text.trim() });
  };
  const request = get(LOAD_URL, { agent, timeout: TIMEOUT_MS }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    answer.on('end', () => done(answer.statusCode ?? 0, text));
    answer.on('error', (error) => done(0, error.message));
  });
  request.on('timeout', () => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
  request.on('error', (error) => done(0, error.message));
}
