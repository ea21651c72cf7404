import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import type { ToldRecord } from '../../daemon/telemetry/told-record.ts';
import type { TestDaemon } from './daemon.ts';

interface TapEvent {
  readonly name: string;
  readonly data: string;
}

/** A reader of a daemon's `/tap`. */
export class TestTap {
  readonly events: TapEvent[] = [];
  readonly #response: IncomingMessage;
  #heard = Promise.withResolvers<void>();
  #taken = 0;

  private constructor(response: IncomingMessage) {
    this.#response = response;
    let text = '';
    response.setEncoding('utf8');
    response.on('error', () => {});
    response.on('data', (piece: string) => {
      text += piece;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const [, name, data] = /^event: (.*)\ndata: (.*)$/s.exec(block) ?? [];
        if (name !== undefined && data !== undefined) this.events.push({ name, data });
      }
      this.#heard.resolve();
      this.#heard = Promise.withResolvers();
    });
  }

  /** Settles once the daemon has said that the tap is open. */
  static async open(daemon: TestDaemon, query = ''): Promise<TestTap> {
    const response = await openTap(daemon, query);
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
    const tap = new TestTap(response);
    await tap.#heard.promise;
    return tap;
  }

  /** Waits for the next record that is wanted. */
  async record(wanted: (record: ToldRecord) => boolean = () => true): Promise<ToldRecord> {
    for (;;) {
      while (this.#taken < this.events.length) {
        const { name, data } = this.events[this.#taken] as TapEvent;
        this.#taken += 1;
        if (name !== 'request') continue;
        const record = JSON.parse(data) as ToldRecord;
        if (wanted(record)) return record;
      }
      await this.#heard.promise;
    }
  }

  /** Waits until so many have been told, as records or as dropped; gives both counts. */
  async total(wanted: number): Promise<{ records: number; dropped: number }> {
    for (;;) {
      const records = this.events.filter(({ name }) => name === 'request').length;
      const dropped = this.events
        .filter(({ name }) => name === 'dropped')
        .reduce((sum, { data }) => sum + (JSON.parse(data) as { count: number }).count, 0);
      if (records + dropped >= wanted) return { records, dropped };
      await this.#heard.promise;
    }
  }

  /** Reads no further: what comes fills the buffers of both sides. */
  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  close(): void {
    this.#response.destroy();
  }
}

/** The answer to GET /tap, whatever it is. */
export async function openTap(daemon: TestDaemon, query: string): Promise<IncomingMessage> {
  const request = get({ host: daemon.admin.ip, port: daemon.admin.port, path: `/tap${query}`, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}
