/** What stands in the daemon's place of counting where `npm run bench -- telemetry` measures what counting costs. */

const NOWHERE = { value: 0 };

export class RouterObserver {
  started(): void {}
  retried(): void {}
  failed(): void {}
  ended(): void {}
}

export class ServiceMetrics {
  readonly requests = NOWHERE;
  readonly inFlight = NOWHERE;
  responded(): void {}
}
