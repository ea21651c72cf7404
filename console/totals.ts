import type { MeshView, ServiceView } from '../lib/stats/mesh-view.ts';
import { formatRate, formatShare } from './format.ts';
import { certificateLevel, type Level, levelOf } from './health.ts';
import { routeTo } from './route.ts';

/** The golden numbers of all Services together. Percentiles cannot be added up: `slowest` tells whose are the highest. */
export interface Total {
  readonly rps: number;
  readonly successRate: number | null;
  readonly retriesPerSecond: number;
  readonly series: { readonly rps: readonly number[]; readonly successRate: readonly (number | null)[] };
}

export function total({ services }: Pick<MeshView, 'services'>): Total {
  const length = Math.max(0, ...services.map(({ series }) => series.rps.length));
  const intervals = Array.from({ length }, (_, index) =>
    together(
      services.map(({ series }) => ({ rps: series.rps[index] ?? 0, successRate: series.successRate[index] ?? null })),
    ),
  );
  return {
    ...together(services),
    retriesPerSecond: services.reduce((sum, service) => sum + service.retriesPerSecond, 0),
    series: { rps: intervals.map(({ rps }) => rps), successRate: intervals.map(({ successRate }) => successRate) },
  };
}

/** Which of them has the highest percentile; undefined where none has any. */
export function slowest(services: readonly ServiceView[], percentile: 'p50' | 'p95' | 'p99'): ServiceView | undefined {
  let worst: ServiceView | undefined;
  for (const service of services) {
    const ms = service[percentile];
    if (ms !== null && ms > (worst?.[percentile] ?? -1)) worst = service;
  }
  return worst;
}

export interface Trouble {
  readonly level: Level;
  readonly what: string;
  readonly why: string;
  readonly href: string;
}

const MOST_TROUBLES = 8;

/** What is not as it should be, worst first: nodes, certificates, Services that fail; at most eight. */
export function troubles(mesh: MeshView): readonly Trouble[] {
  const nodes = mesh.nodes.flatMap((node): Trouble[] => {
    const href = routeTo('nodes');
    if (node.error !== null) return [{ level: 'bad', what: node.name, why: node.error, href }];
    if (!node.ready) return [{ level: 'bad', what: node.name, why: `not ready: ${node.notes.join('; ')}`, href }];
    const level = certificateLevel(node.certificateNotAfter, mesh.at);
    if (level !== 'bad' && level !== 'warn') return [];
    const why = level === 'bad' ? 'its certificate has expired' : 'its certificate expires soon, and was not renewed';
    return [{ level, what: node.name, why: `${why}: see its daemon's log`, href }];
  });
  const services = mesh.services
    .filter(({ successRate }) => levelOf(successRate) === 'bad' || levelOf(successRate) === 'warn')
    .map((service) => ({ service, failing: service.rps * (1 - (service.successRate ?? 1)) }))
    .sort((a, b) => b.failing - a.failing)
    .map(
      ({ service, failing }): Trouble => ({
        level: levelOf(service.successRate),
        what: `${service.name} in ${service.namespace}`,
        why: `${formatShare(service.successRate)} answered well, ${formatRate(failing)} failures per second`,
        href: routeTo('services', [service.namespace, service.name]),
      }),
    );
  const order: readonly Level[] = ['bad', 'warn'];
  return [...nodes, ...services]
    .sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level))
    .slice(0, MOST_TROUBLES);
}

/** Rates add up; success counts by how many requests it is of. */
function together(parts: readonly { readonly rps: number; readonly successRate: number | null }[]) {
  let rps = 0;
  let rated = 0;
  let good = 0;
  for (const part of parts) {
    rps += part.rps;
    if (part.successRate === null) continue;
    rated += part.rps;
    good += part.rps * part.successRate;
  }
  return { rps, successRate: rated > 0 ? Math.min(1, good / rated) : null };
}
