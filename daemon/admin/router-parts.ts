import type { FailureAccrual } from '../balancer/failure-accrual.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { EgressBinding, EgressNames } from '../naming/egress-names.ts';
import type { Binding, Path } from '../naming/endpoint.ts';
import type { Resolver } from '../naming/resolver.ts';
import type { Gateway } from '../naming/transformers/daemonset.ts';
import type { Transform } from '../naming/transformers/transform.ts';
import type { CallerSources } from '../policy/caller-sources.ts';
import type { Callers } from '../policy/callers.ts';
import type { EndpointGate, GatedEndpoint } from '../policy/endpoint-gate.ts';
import type { Destination } from '../router/destination.ts';

/** The parts that an outgoing router's requests pass, in their order. */
export interface RouterParts {
  readonly label: string;
  readonly callers: Callers;
  readonly sources: CallerSources | undefined;
  readonly resolver: Resolver;
  readonly egress: EgressNames;
  readonly synced: () => boolean;
  readonly transform: Transform;
  /** What judges requests to an endpoint that is reached in that way, on whichever node; undefined where policies are not looked at. */
  readonly gate: (endpoint: GatedEndpoint, by: Path['kind']) => EndpointGate | undefined;
  /** Of connections to peers. */
  readonly peerPool: Http1Pool;
  /** Whether a daemon can be connected to; undefined where no request has gone there yet. */
  readonly accrualOf: (gateway: Gateway) => FailureAccrual | undefined;
  readonly router: {
    readonly destinations: readonly Destination[];
    peek(binding: Binding | EgressBinding): Destination;
  };
}
