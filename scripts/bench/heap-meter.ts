import { once } from 'node:events';

/** Asks a Node process that was started with --inspect for its heap, over the DevTools protocol. */
export class HeapMeter {
  readonly #socket: WebSocket;
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** Rejects where nothing that speaks the protocol listens on that port of 127.0.0.1. */
  static async connect(port: number): Promise<HeapMeter> {
    const targets = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as {
      webSocketDebuggerUrl: string;
    }[];
    const socket = new WebSocket(targets[0]?.webSocketDebuggerUrl ?? '');
    await once(socket, 'open');
    return new HeapMeter(socket);
  }

  /** Bytes of the V8 heap in use once a full garbage collection is done. */
  async usedAfterCollection(): Promise<number> {
    await this.#call('HeapProfiler.collectGarbage');
    const { usedSize } = (await this.#call('Runtime.getHeapUsage')) as { usedSize: number };
    return usedSize;
  }

  close(): void {
    this.#socket.close();
  }

  async #call(method: string): Promise<unknown> {
    this.#lastId += 1;
    const id = this.#lastId;
    this.#socket.send(JSON.stringify({ id, method }));
    for (;;) {
      const [event] = (await once(this.#socket, 'message')) as [MessageEvent];
      const answer = JSON.parse(String(event.data)) as { id?: number; result?: unknown };
      if (answer.id === id) return answer.result;
    }
  }
}
