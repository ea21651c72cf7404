import { address, base32, CREATED, hex, labelsOf, managedFields, metadata } from './synthetic-metadata.ts';

/** Addresses of 127.0.0.0/8 behind which the benchmark's own application and caller are. */
export interface ProbePlace {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  readonly callerIp: string;
  /** Of which one is ready at a time. */
  readonly podIps: readonly [string, string];
}

/** Ordinary pods of the daemon's own node. */
export const OWN_PODS = 60;
const IMAGES = 50;

export function nodeName(node: number): string {
  return `ip-10-${(node >> 8) & 255}-${node & 255}-7.eu-west-1.compute.internal`;
}

export function zoneOf(node: number): string {
  return `eu-west-1${'abc'[node % 3]}`;
}

/** A node, as its kubelet reports it. */
export function nodeObject(index: number, resourceVersion: number): Record<string, unknown> {
  const name = nodeName(index);
  const labels = {
    'kubernetes.io/arch': 'amd64',
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'node.kubernetes.io/instance-type': 'm6i.4xlarge',
    'topology.kubernetes.io/region': 'eu-west-1',
    'topology.kubernetes.io/zone': zoneOf(index),
  };
  const condition = (type: string) => ({
    type,
    status: type === 'Ready' ? 'True' : 'False',
    lastHeartbeatTime: CREATED,
    lastTransitionTime: CREATED,
    reason: `Kubelet${type}`,
    message: `kubelet has sufficient ${type} available`,
  });
  return {
    metadata: {
      ...metadata(name, undefined, name, resourceVersion),
      labels,
      annotations: {
        'node.alpha.kubernetes.io/ttl': '0',
        'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
      },
      managedFields: [managedFields('kubelet', 'v1', labels, ['f:conditions', 'f:images', 'f:addresses'])],
    },
    spec: { podCIDR: `100.${index >> 8}.${index & 255}.0/24`, podCIDRs: [`100.${index >> 8}.${index & 255}.0/24`] },
    status: {
      capacity: { cpu: '16', 'ephemeral-storage': '104845292Ki', memory: '64591348Ki', pods: '110' },
      allocatable: { cpu: '15890m', 'ephemeral-storage': '95551679124', memory: '61574644Ki', pods: '110' },
      conditions: ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready'].map(condition),
      addresses: [
        { type: 'InternalIP', address: address(10, index) },
        { type: 'Hostname', address: name },
      ],
      images: Array.from({ length: IMAGES }, (_, i) => ({
        names: [
          `registry.example.com/team/app-${i}@sha256:${hex(`image-${i}`, 64)}`,
          `registry.example.com/team/app-${i}:v1.${i}`,
        ],
        sizeBytes: 123_456_789 + i,
      })),
    },
  };
}

/** Of this node: ordinary pods, then the probe's two, then the caller. */
export function podObject(place: ProbePlace, index: number, resourceVersion: number): Record<string, unknown> {
  const { namespace, podIps, callerIp } = place;
  const probe = index - OWN_PODS;
  const name = probe < 0 ? `own-7d9c8b6f5d-${base32(index, 5)}` : probe < 2 ? `probe-${probe}` : 'caller';
  const ip = probe < 0 ? address(13, index) : (podIps[probe] ?? callerIp);
  const labels = labelsOf(name);
  const env = Array.from({ length: 30 }, (_, i) => ({ name: `SETTING_${i}`, value: `value of setting ${i}` }));
  return {
    metadata: {
      ...metadata(name, namespace, name, resourceVersion),
      labels,
      managedFields: [managedFields('kubelet', 'v1', labels, ['f:conditions', 'f:containerStatuses', 'f:podIPs'])],
    },
    spec: {
      containers: [
        { name: 'app', image: 'registry.example.com/team/app:v1', env, resources: { requests: { cpu: '100m' } } },
      ],
      nodeName: nodeName(0),
      serviceAccountName: 'default',
    },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: CREATED }],
      podIP: ip,
      podIPs: [{ ip }],
    },
  };
}
