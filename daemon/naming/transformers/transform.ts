import type { TransformerConfig } from '../../config.ts';
import type { Endpoint, RoutedEndpoint } from '../endpoint.ts';
import { daemonset, type Gateway } from './daemonset.ts';
import { localnode } from './localnode.ts';

/** The ready daemons of the cluster, by node. */
export interface GatewaySource {
  /** Changes whenever `byNode()` may give something else. */
  readonly version: number;
  byNode(): ReadonlyMap<string, Gateway>;
}

/** What a router does to a name's endpoints before it balances over them: its config's transformers, in their order. */
export interface Transform {
  /** Changes whenever the same set may come out differently. */
  readonly version: number;
  apply(set: readonly RoutedEndpoint[]): readonly RoutedEndpoint[];
  /** What `apply` is made of, for people. */
  readonly steps?: readonly TransformStep[];
}

/** What is outside the cluster is on no node. */
export const UNCHANGED: Transform = { version: 0, apply: (set) => set };

/** One transformer. */
export interface TransformStep {
  readonly kind: TransformerConfig['kind'];
  apply(set: readonly RoutedEndpoint[]): readonly RoutedEndpoint[];
  /** Why it drops an endpoint that it drops. */
  why(endpoint: Endpoint): string;
}

/**
 * Puts a router's transformers together. `gateways` finds the daemons that a daemonset transformer names; `nodeName` is this
 * daemon's own.
 */
export function composeTransform(
  configs: readonly TransformerConfig[],
  nodeName: string,
  gateways: (config: Extract<TransformerConfig, { kind: 'io.l5d.k8s.daemonset' }>) => GatewaySource,
): Transform {
  const sources: GatewaySource[] = [];
  const steps = configs.map((config): TransformStep => {
    const { kind } = config;
    if (kind === 'io.l5d.k8s.localnode') {
      return { kind, apply: (set) => localnode(set, nodeName), why: () => `not on node ${nodeName} (localnode)` };
    }
    const source = gateways(config);
    sources.push(source);
    return {
      kind,
      apply: (set) => daemonset(set, source.byNode(), nodeName, config.fallback),
      why: (endpoint) =>
        endpoint.nodeName === undefined
          ? 'on no node that is known, and fallback is "fail"'
          : `no ready daemon on node ${endpoint.nodeName}, and fallback is "fail"`,
    };
  });
  return {
    get version() {
      let sum = 0;
      for (const source of sources) sum += source.version;
      return sum;
    },
    apply: (set) => steps.reduce((current, step) => step.apply(current), set),
    steps,
  };
}
