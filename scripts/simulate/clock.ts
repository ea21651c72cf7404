interface Event {
  readonly at: number;
  readonly order: number;
  readonly happen: () => void;
}

/** A virtual clock: what is to happen, happens in the order of its time, and no time passes in between. Times in ms. */
export class Clock {
  now = 0;
  readonly #heap: Event[] = [];
  #order = 0;

  /** Has `happen` called at a time, after all that was asked for before at the same time. */
  at(time: number, happen: () => void): void {
    this.#push({ at: Math.max(time, this.now), order: this.#order, happen });
    this.#order += 1;
  }

  after(delayMs: number, happen: () => void): void {
    this.at(this.now + delayMs, happen);
  }

  /** Lets time pass until `endMs`; what is later never happens. */
  run(endMs: number): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= endMs; next = this.#heap[0]) {
      this.#pop();
      this.now = next.at;
      next.happen();
    }
    this.now = endMs;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!sooner(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && sooner(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!sooner(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function sooner(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
