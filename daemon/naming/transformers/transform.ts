import type { TransformerConfig } from '../../config.ts';
import type { RoutedEndpoint } from '../endpoint.ts';
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
  const steps = configs.map((config) => {
    if (config.kind === 'io.l5d.k8s.localnode') {
      return (set: readonly RoutedEndpoint[]) => localnode(set, nodeName);
    }
    const source = gateways(config);
    sources.push(source);
    return (set: readonly RoutedEndpoint[]) => daemonset(set, source.byNode(), nodeName, config.fallback);
  });
  return {
    get version() {
      let sum = 0;
      for (const source of sources) sum += source.version;
      return sum;
    },
    apply: (set) => steps.reduce((current, step) => step(current), set),
  };
}
