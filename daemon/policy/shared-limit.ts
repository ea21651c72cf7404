import { ACTIVE_MS, CONTENDED_MS, fairShare, type RequestLimit } from './concurrency-limit.ts';

/** A power of two. Pods of a node and nodes of a cluster are fewer; two callers of one slot share one share. */
const SLOTS = 16_384;
const COUNT_MS = 1_000;
/** Times are kept in this unit, so that 32 bits last for years. */
const TICK_MS = 100;

/** Words of the shared table: two for all callers, then two a slot. Slots that were never used hold time 0, which is long ago. */
const HELD = 0;
const CONTENDED_UNTIL = 1;
const FIRST_SLOT = 2;
const WORDS = FIRST_SLOT + SLOTS * 2;
const LONG_AGO = ACTIVE_MS / TICK_MS + 1;

/** What several threads' SharedConcurrencyLimits count in. */
export function sharedLimitTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT);
}

/**
 * ConcurrencyLimit's rule for all threads of a process together, whichever of them a request comes to: they count in one
 * table. The limit is never exceeded; two requests that come at the same moment to its last place may both be refused.
 * Times are ms of one monotonic clock, the same for all threads.
 */
export class SharedConcurrencyLimit implements RequestLimit {
  readonly #max: number;
  readonly #table: Int32Array;
  #callers = 1;
  #countedAt = Number.NEGATIVE_INFINITY;

  constructor(max: number, table: SharedArrayBuffer) {
    this.#max = max;
    this.#table = new Int32Array(table);
  }

  take(caller: string, now: number): boolean {
    const table = this.#table;
    const tick = Math.floor(now / TICK_MS) + LONG_AGO;
    const slot = slotOf(caller);
    Atomics.store(table, slot + 1, tick);
    const held = Atomics.add(table, HELD, 1) + 1;
    const own = Atomics.add(table, slot, 1) + 1;
    const contended = tick < Atomics.load(table, CONTENDED_UNTIL);
    const taken = held <= this.#max && !(contended && own > fairShare(this.#max, this.#activeCallers(now, tick)));
    if (!taken) this.release(caller);
    if (!taken || held === this.#max) Atomics.store(table, CONTENDED_UNTIL, tick + CONTENDED_MS / TICK_MS);
    return taken;
  }

  release(caller: string): void {
    Atomics.sub(this.#table, slotOf(caller), 1);
    Atomics.sub(this.#table, HELD, 1);
  }

  /** Counted only where shares are kept to, and then once a second. */
  #activeCallers(now: number, tick: number): number {
    if (now - this.#countedAt < COUNT_MS) return this.#callers;
    this.#countedAt = now;
    this.#callers = 0;
    for (let slot = FIRST_SLOT; slot < WORDS; slot += 2) {
      const idleTicks = tick - Atomics.load(this.#table, slot + 1);
      if (idleTicks <= ACTIVE_MS / TICK_MS || Atomics.load(this.#table, slot) > 0) this.#callers += 1;
    }
    return this.#callers;
  }
}

/** The slot of an address, by its last bits: those of one subnet, as the pods of a node have them, never share one. */
function slotOf(address: string): number {
  const radix = address.includes(':') ? 16 : 10;
  let bits = 0;
  let part = 0;
  for (let i = 0; i < address.length; i += 1) {
    const code = address.charCodeAt(i);
    if (code === DOT || code === COLON) {
      bits = (bits << 8) + part;
      part = 0;
    } else part = part * radix + (code <= NINE ? code - ZERO : (code & LETTER) + 9);
  }
  bits = (bits << 8) + part;
  return FIRST_SLOT + ((bits ^ (bits >>> 14)) & (SLOTS - 1)) * 2;
}

const DOT = 0x2e;
const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;
const LETTER = 0x07;
