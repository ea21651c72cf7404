import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QueueLimit } from '../../daemon/balancer/queue-limit.ts';

/** Requests begun until it is full, at most 2 000; all of them end unanswered. */
function room(limit: QueueLimit): number {
  let begun = 0;
  while (!limit.full && begun < 2_000) {
    limit.begin();
    begun += 1;
  }
  for (let i = 0; i < begun; i += 1) limit.lost();
  return begun;
}

/** Has so many requests under way at all times, until `answers` of them are answered after what `latencyOf` makes of their number. */
function keepBusy(limit: QueueLimit, answers: number, most: number, latencyOf: (awaited: number) => number): void {
  let awaited = 0;
  for (let answered = 0; answered < answers; answered += 1) {
    while (awaited < most && !limit.full) {
      limit.begin();
      awaited += 1;
    }
    limit.answered(latencyOf(awaited));
    awaited -= 1;
  }
  while (awaited > 0) {
    limit.lost();
    awaited -= 1;
  }
}

test('a new pod gets a few at a time, and more as long as they take no longer for it', () => {
  const limit = new QueueLimit();
  assert.equal(room(limit), 8);
  limit.begin();
  limit.answered(0); // on a coarse clock
  assert.equal(room(limit), 8);
  keepBusy(limit, 500, 200, () => 30);
  assert.ok(room(limit) >= 200, String(room(limit)));
});

test('a pod that becomes ten times slower has few waiting, and never none at all', () => {
  const limit = new QueueLimit();
  keepBusy(limit, 500, 200, () => 20);
  keepBusy(limit, 40, 200, (awaited) => awaited * 100);
  const slow = room(limit);
  assert.ok(slow >= 4 && slow <= 20, String(slow));
});

test('requests that differ in how long they take are no slowness', () => {
  const limit = new QueueLimit();
  let turn = 0;
  keepBusy(limit, 2_000, 50, () => {
    turn += 1;
    return turn % 10 === 0 ? 500 : 1;
  });
  assert.ok(room(limit) > 25, String(room(limit)));
});
