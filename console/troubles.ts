import type { MeshView } from '../lib/stats/mesh-view.ts';
import { formatRate, formatShare } from './format.ts';
import { certificateLevel, type Level, levelOf } from './health.ts';
import { routeTo } from './route.ts';

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
