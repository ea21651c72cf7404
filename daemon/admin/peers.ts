import type { PeersView } from '../../lib/explain.ts';
import { endpointKey } from '../naming/endpoint.ts';
import type { Gateway } from '../naming/transformers/daemonset.ts';
import type { RouterParts } from './router-parts.ts';

export interface PeersOptions {
  readonly nodeName: string;
  readonly threads: number;
  /** The ready daemons by node, as the transformers of all routers know them. */
  readonly gateways: ReadonlyMap<string, Gateway>;
  readonly parts: readonly RouterParts[];
  /** By the label of its router. */
  readonly tls: Readonly<Record<string, string>>;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/** `/peers`: the daemons of other nodes, and how this one gets on with each. */
export function peersView({ nodeName, threads, gateways, parts, tls, now, wallClock }: PeersOptions): PeersView {
  const others = [...gateways.values()].filter((gateway) => gateway.nodeName !== nodeName);
  const peers = others.map((gateway) => peer(gateway, parts, now()));
  peers.sort((a, b) => (a.node < b.node ? -1 : 1));
  return { node: nodeName, at: wallClock(), thread: `0 of ${threads}`, tls, peers };
}

function peer(gateway: Gateway, parts: readonly RouterParts[], now: number): PeersView['peers'][number] {
  const { ip, port, nodeName: node } = gateway;
  const pools = [...new Set(parts.map(({ peerPool }) => peerPool))].map((pool) => pool.describe({ ip, port, node }));
  const accruals = parts.flatMap(({ accrualOf }) => accrualOf(gateway) ?? []);
  const shown = pools.find((pool) => pool.shown !== undefined)?.shown;
  return {
    node,
    address: endpointKey(gateway),
    connections: {
      open: pools.reduce((sum, { open }) => sum + open, 0),
      idle: pools.reduce((sum, { idle }) => sum + idle, 0),
    },
    tls: shown === undefined ? null : shown.secure ? 'mutual TLS' : 'plaintext',
    certificateNotAfter: shown?.notAfter ?? null,
    out: accruals.some(({ out }) => out),
    outForMs: Math.max(0, ...accruals.map((accrual) => accrual.outForMs(now))),
  };
}
