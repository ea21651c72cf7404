import { isIP } from 'node:net';
import type { ConfigProblem } from '../lib/config-file.ts';
import type { DaemonEnvironment, RawConfig } from './config.ts';

type RawRouter = RawConfig['routers'][number];

/** What of the daemon's config the schema alone cannot tell, and what follows from several keys. */

const OUTGOING_PORT = 4140;
const INCOMING_PORT = 4141;

/** Everything that is wrong across keys. */
export function misfits(config: RawConfig, environment: DaemonEnvironment): ConfigProblem[] {
  return [
    ...duplicateLabels(config),
    ...duplicatePorts(config),
    ...policyWithoutCallers(config),
    ...misplacedClientHeaders(config),
    ...sharedAccessLogs(config),
    ...unknownNodeAddress(config, environment),
  ];
}

export function namersOf(config: RawConfig): NonNullable<RawConfig['namers']> {
  return config.namers ?? [{ kind: 'io.l5d.k8s' as const }];
}

export function needsKubernetes(config: RawConfig): boolean {
  return (
    namersOf(config).some((n) => n.kind === 'io.l5d.k8s') ||
    config.routers.some((r) => r.interpreter.transformers.length > 0)
  );
}

export function roleOf(r: RawRouter): 'outgoing' | 'incoming' {
  const local = r.interpreter.transformers.some((t) => t.kind === 'io.l5d.k8s.localnode');
  return local || r.label === 'incoming' ? 'incoming' : 'outgoing';
}

export function defaultPort(r: RawRouter): number {
  return roleOf(r) === 'incoming' ? INCOMING_PORT : OUTGOING_PORT;
}

function duplicateLabels(config: RawConfig): ConfigProblem[] {
  const seen = new Map<string, number>();
  return config.routers.flatMap((r, i) => {
    const first = seen.get(r.label);
    if (first === undefined) {
      seen.set(r.label, i);
      return [];
    }
    return [
      {
        where: `routers[${i}].label`,
        what: `"${r.label}" is already the label of routers[${first}]; give each router its own`,
      },
    ];
  });
}

function duplicatePorts(config: RawConfig): ConfigProblem[] {
  const listeners = [
    { where: 'admin.port', ip: config.admin.ip, port: config.admin.port },
    ...config.routers.flatMap((r, i) =>
      r.servers.map((s, j) => ({
        where: `routers[${i}].servers[${j}].port`,
        ip: s.ip,
        port: s.port ?? defaultPort(r),
      })),
    ),
  ];
  return listeners.flatMap((one, i) => {
    const taken = listeners
      .slice(0, i)
      .find((other) => other.port === one.port && one.port !== 0 && overlap(other.ip, one.ip));
    if (taken === undefined) return [];
    return [
      {
        where: one.where,
        what: `port ${one.port} is already taken by ${taken.where}; give each listener its own port`,
      },
    ];
  });
}

/** Policies speak of pods: whoever cannot tell them by their addresses can enforce nothing. */
function policyWithoutCallers(config: RawConfig): ConfigProblem[] {
  const masked = config.routers.flatMap((r, i) =>
    r.servers.flatMap(({ allowedClients }, j) =>
      roleOf(r) === 'outgoing' && allowedClients?.includes('localPods') === false
        ? [`routers[${i}].servers[${j}].allowedClients`]
        : [],
    ),
  );
  return config.routers.flatMap((r, i) => {
    const where = `routers[${i}].policy`;
    if (r.policy !== 'off' && !needsKubernetes(config)) {
      return [{ where, what: "policies are the cluster's, and this config reads no cluster: give off" }];
    }
    if (r.policy !== 'enforce' || masked.length === 0) return [];
    const what = `enforce tells pods by their own addresses, and ${masked.join(', ')} does without: a hostPort, for one, hides them behind the node's (overlay host-port). List localPods there, or give audit or off`;
    return [{ where, what }];
  });
}

/** Records tell routers apart by their direction. */
function sharedAccessLogs(config: RawConfig): ConfigProblem[] {
  return config.routers.flatMap((r, i) => {
    const other = config.routers.findIndex((one, j) => j !== i && roleOf(one) === roleOf(r));
    if (r.httpAccessLog === undefined || other === -1) return [];
    const what = `routers[${other}] is ${roleOf(r)} too, and its requests would be in this file as well; use telemetry's nodemesh.accessLog`;
    return [{ where: `routers[${i}].httpAccessLog`, what }];
  });
}

function misplacedClientHeaders(config: RawConfig): ConfigProblem[] {
  return config.routers.flatMap((r, i) =>
    r.clientHeader && (roleOf(r) === 'outgoing' || !needsKubernetes(config))
      ? [{ where: `routers[${i}].clientHeader`, what: 'goes with the incoming router of a cluster only' }]
      : [],
  );
}

function overlap(a: string, b: string): boolean {
  const wildcard = (text: string) => text === '0.0.0.0' || text === '::';
  return a === b || wildcard(a) || wildcard(b);
}

function unknownNodeAddress(config: RawConfig, environment: DaemonEnvironment): ConfigProblem[] {
  if (environment.nodeIp !== undefined && isIP(environment.nodeIp) !== 0) return [];
  const what = `"node" needs the node's address in NODE_IP (downward API: status.hostIP), which is ${
    environment.nodeIp === undefined ? 'not set' : `"${environment.nodeIp}"`
  }`;
  const places = config.routers.flatMap((r, i) =>
    r.servers.flatMap((s, j) => (s.ip === 'node' ? [`routers[${i}].servers[${j}].ip`] : [])),
  );
  return [...(config.admin.ip === 'node' ? ['admin.ip'] : []), ...places].map((where) => ({ where, what }));
}
