import { once } from 'node:events';
import { Agent, createServer, request, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProbePlace } from './synthetic-nodes.ts';

/** Two pods that answer with their own address, and a caller that asks for them by their Service's name. */
export class Probe {
  readonly place: ProbePlace;
  /** Which pod answered last. */
  answeredBy = '';
  /** Since when it is that one: ns of the monotonic clock that all processes share. */
  since = 0n;
  failures = 0;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  private constructor(server: Server, place: ProbePlace) {
    this.#server = server;
    this.place = place;
  }

  /** Starts the pods on `port` of their addresses. */
  static async start(port: number): Promise<Probe> {
    const server = createServer((incoming, response) => response.end(incoming.socket.localAddress)).listen(
      port,
      '0.0.0.0',
    );
    await once(server, 'listening');
    const podIps = ['127.0.0.3', '127.0.0.4'] as const;
    return new Probe(server, { namespace: 'probe', service: 'probe', port, callerIp: '127.0.0.2', podIps });
  }

  /** Asks once, through a daemon; gives whether a pod answered. */
  async ask(port: number): Promise<boolean> {
    const { namespace, service, callerIp } = this.place;
    const outgoing = request({
      host: '127.0.0.1',
      port,
      localAddress: callerIp,
      agent: this.#agent,
      path: `http://${service}.${namespace}/`,
      headers: { host: `${service}.${namespace}` },
    }).end();
    const [incoming] = await once(outgoing, 'response');
    const text = String(Buffer.concat(await incoming.toArray()));
    if (incoming.statusCode !== 200) {
      this.failures += 1;
      await sleep(1);
      return false;
    }
    if (text !== this.answeredBy) {
      this.since = process.hrtime.bigint();
      this.answeredBy = text;
    }
    return true;
  }

  stop(): void {
    this.#agent.destroy();
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
