import type { Counter, Family, MetricsRegistry } from '../metrics.ts';

export interface WatchMetrics {
  readonly events: Counter;
  /** By resource, and how a watch ended. */
  readonly restarts: Family<Counter>;
}

/** The metrics of one watch. Takes the registry, the resource's plural (its label), and what is read at each scrape. */
export function watchMetrics(
  metrics: MetricsRegistry,
  resource: string,
  watch: { readonly lastEventAgeMs: number; readonly synced: boolean; readonly items: { readonly size: number } },
): WatchMetrics {
  const gauge = (name: string, help: string) => metrics.gauge(name, help, ['resource']).with(resource);
  const age = gauge('watch_last_event_age_seconds', 'Time since the Kubernetes API last told anything');
  const synced = gauge('watch_synced', 'Whether everything has been listed once');
  const objects = gauge('watch_objects', 'Objects that are known');
  metrics.onCollect(() => {
    age.set(watch.lastEventAgeMs / 1_000);
    synced.set(watch.synced ? 1 : 0);
    objects.set(watch.items.size);
  });
  const events = metrics.counter('watch_events_total', 'Events that watches of the Kubernetes API have told', [
    'resource',
  ]);
  const restarts = metrics.counter('watch_restarts_total', 'Watches that ended, by how', ['resource', 'reason']);
  return { events: events.with(resource), restarts };
}
