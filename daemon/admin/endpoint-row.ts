import type { PolicyVerdict, ResolvedEndpoint } from '../../lib/explain.ts';
import type { PublishedEndpoint } from '../discovery/service-entry.ts';
import { endpointKey } from '../naming/endpoint.ts';
import type { RoutedState } from '../router/destination.ts';

/** One endpoint of a Resolution. `found`: what the balancer has of it; `transformed`: why a transformer has dropped it, if one has. */
export function endpointRow(
  one: PublishedEndpoint,
  found: RoutedState | undefined,
  transformed: string | undefined,
  policy: PolicyVerdict,
): ResolvedEndpoint {
  const state = found?.state;
  const path = found?.routed.path;
  return {
    address: endpointKey(one),
    pod: one.pod ?? null,
    node: one.nodeName ?? null,
    zone: one.zone ?? null,
    ready: one.ready,
    gateway: path?.kind === 'gateway' ? endpointKey(path) : null,
    weight: found === undefined ? 0 : (found.share ?? null),
    load: state?.load ?? null,
    latencyMs: state?.latencyMs ?? null,
    inFlight: state?.inFlight ?? null,
    out: state?.out ?? false,
    dropped: one.why ?? transformed ?? whyNotDrawn(found) ?? null,
    policy,
  };
}

/** An address outside that the egress guard refuses. */
export function refusedRow(ip: string, port: number, refusal: string | undefined): ResolvedEndpoint {
  const one = { ip, port, nodeName: undefined, pod: undefined, zone: undefined, ready: true, why: refusal };
  return endpointRow(one, undefined, undefined, { verdict: 'allowed', by: 'none' });
}

function whyNotDrawn(found: RoutedState | undefined): string | undefined {
  if (found === undefined) return 'not among those that are used';
  const { state, share, routed } = found;
  if (state?.out === true) {
    const seconds = (state.outForMs / 1_000).toFixed(1);
    return `${state.trouble}; ${state.outForMs === 0 ? 'a probe is due' : `asked again in ${seconds} s`}`;
  }
  if (routed.endpoint.far !== true || share !== 0) return undefined;
  return `far${routed.endpoint.zone === undefined ? '' : ` (zone ${routed.endpoint.zone})`}: used when no near one is left`;
}
