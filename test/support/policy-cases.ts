/**
 * What NetworkPolicies mean, as cases: policies over a few pods, and who may then reach whom. The expectations are those of the
 * API reference of networking.k8s.io/v1 and of the page "Network Policies"; the pods are those of its usual examples.
 */

export const PODS = ['x/a', 'x/b', 'y/a', 'y/b', 'z/a'] as const;
export type PodName = (typeof PODS)[number];

/** Every pod listens on both, under these names. */
export const PORTS = { http: 8080, alt: 8081 } as const;

export const NAMESPACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  x: { team: 'red' },
  y: { team: 'blue', stage: 'test' },
  z: {},
};

export const LABELS: Readonly<Record<PodName, Readonly<Record<string, string>>>> = {
  'x/a': { app: 'a', tier: 'front' },
  'x/b': { app: 'b' },
  'y/a': { app: 'a', tier: 'front' },
  'y/b': { app: 'b', tier: 'back' },
  'z/a': { app: 'a' },
};

export interface PolicyObject {
  readonly namespace: string;
  readonly name: string;
  readonly spec: object;
}

export type Addresses = Readonly<Record<PodName, string>>;

export interface PolicyCase {
  readonly name: string;
  readonly policies: readonly ((ip: Addresses) => PolicyObject)[];
  /** `source > destination[:port]`; port 8080 where none is written. */
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
}

/** A flow of a case, read. */
export interface CaseFlow {
  readonly source: PodName;
  readonly destination: PodName;
  readonly port: number;
  readonly allowed: boolean;
}

/** The flows of a case. Throws where one names a pod that there is not. */
export function flowsOf({ allowed, denied }: Pick<PolicyCase, 'allowed' | 'denied'>): CaseFlow[] {
  const read = (text: string, verdict: boolean): CaseFlow => {
    const [source, target = ''] = text.split(' > ');
    const [destination, port] = target.split(':');
    const pod = (name: string | undefined) => {
      const found = PODS.find((one) => one === name);
      if (found === undefined) throw new Error(`no pod ${name} in "${text}"`);
      return found;
    };
    return {
      source: pod(source),
      destination: pod(destination),
      port: Number(port ?? PORTS.http),
      allowed: verdict,
    };
  };
  return [...allowed.map((text) => read(text, true)), ...denied.map((text) => read(text, false))];
}

const A = { matchLabels: { app: 'a' } };
const B = { matchLabels: { app: 'b' } };
const RED = { matchLabels: { team: 'red' } };
const BLUE = { matchLabels: { team: 'blue' } };
const expression = (key: string, operator: string, ...values: string[]) => ({
  matchExpressions: [values.length === 0 ? { key, operator } : { key, operator, values }],
});

/** Of namespace x unless another is given. `spec` may need the pods' addresses. */
function policy(spec: object | ((ip: Addresses) => object), namespace = 'x', name = 'policy') {
  return (ip: Addresses): PolicyObject => ({
    namespace,
    name: `${name}-${namespace}`,
    spec: typeof spec === 'function' ? spec(ip) : spec,
  });
}

/** Ingress to pods `app: a` of x. */
const ingress = (...rules: readonly object[]) => policy({ podSelector: A, policyTypes: ['Ingress'], ingress: rules });
const from = (...peers: readonly object[]) => ingress({ from: peers });
/** Egress of pods `app: a` of x. */
const egress = (...rules: readonly object[]) => policy({ podSelector: A, policyTypes: ['Egress'], egress: rules });
const to = (...peers: readonly object[]) => egress({ to: peers });
const ingressBy = (rule: (ip: Addresses) => object) =>
  policy((ip) => ({ podSelector: A, policyTypes: ['Ingress'], ingress: [rule(ip)] }));
const egressBy = (rule: (ip: Addresses) => object) =>
  policy((ip) => ({ podSelector: A, policyTypes: ['Egress'], egress: [rule(ip)] }));

const host = (address: string) => `${address}/${address.includes(':') ? 128 : 32}`;
const EVERYWHERE = ['0.0.0.0/0', '::/0'];
const denyIngress = (namespace: string) =>
  policy({ podSelector: {}, policyTypes: ['Ingress'] }, namespace, 'deny-ingress');
const denyEgress = (namespace: string) =>
  policy({ podSelector: {}, policyTypes: ['Egress'] }, namespace, 'deny-egress');

export const POLICY_CASES: readonly PolicyCase[] = [
  // Default deny and default allow.
  {
    name: 'an empty podSelector without rules denies all ingress of its namespace, and of no other',
    policies: [denyIngress('x')],
    allowed: ['x/a > y/a', 'y/a > y/b', 'z/a > y/a', 'x/a > x/a'],
    denied: ['x/b > x/a', 'y/a > x/a', 'z/a > x/b', 'x/a > x/b'],
  },
  {
    name: 'policyTypes [Egress] without rules denies all egress of its namespace, and no ingress',
    policies: [denyEgress('x')],
    allowed: ['y/a > x/a', 'z/a > x/b', 'y/a > z/a'],
    denied: ['x/a > y/a', 'x/a > x/b', 'x/b > z/a'],
  },
  {
    name: 'both types without rules deny both directions',
    policies: [policy({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] })],
    allowed: ['y/a > y/b', 'x/a > x/a'],
    denied: ['x/a > y/a', 'y/a > x/a', 'x/a > x/b'],
  },
  {
    name: 'a rule of nothing allows all ingress, beside a policy that denies it',
    policies: [
      denyIngress('x'),
      policy({ podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] }, 'x', 'allow-all'),
      denyIngress('y'),
    ],
    allowed: ['y/a > x/a', 'x/b > x/a:8081', 'z/a > x/b'],
    denied: ['x/a > y/a'],
  },
  {
    name: 'a rule of nothing allows all egress, beside a policy that denies it',
    policies: [
      denyEgress('x'),
      policy({ podSelector: {}, policyTypes: ['Egress'], egress: [{}] }, 'x', 'allow-all'),
      denyEgress('y'),
    ],
    allowed: ['x/a > y/a', 'x/b > x/a:8081'],
    denied: ['y/a > x/a'],
  },
  {
    name: 'a policy that selects no pod isolates none',
    policies: [
      policy({ podSelector: { matchLabels: { app: 'none' } }, policyTypes: ['Ingress', 'Egress'] }),
      denyIngress('z'),
    ],
    allowed: ['y/a > x/a', 'x/a > y/a'],
    denied: ['x/a > z/a'],
  },
  {
    name: 'only the selected pods are isolated',
    policies: [ingress()],
    allowed: ['y/a > x/b', 'x/a > x/b', 'x/b > y/a'],
    denied: ['x/b > x/a', 'y/a > x/a', 'z/a > x/a:8081'],
  },
  // Which directions a policy names.
  {
    name: 'without policyTypes and rules a policy isolates for ingress alone',
    policies: [policy({ podSelector: A })],
    allowed: ['x/a > y/a', 'x/a > x/b'],
    denied: ['y/a > x/a'],
  },
  {
    name: 'without policyTypes an egress rule makes it both: ingress is denied, egress as the rule says',
    policies: [policy({ podSelector: A, egress: [{ to: [{ podSelector: B }] }] })],
    allowed: ['x/a > x/b'],
    denied: ['x/a > y/b', 'x/b > x/a'],
  },
  {
    name: 'without policyTypes an empty egress section makes it no egress policy',
    policies: [policy({ podSelector: A, ingress: [{ from: [{ podSelector: B }] }], egress: [] })],
    allowed: ['x/b > x/a', 'x/a > y/a'],
    denied: ['y/b > x/a'],
  },
  {
    name: 'with policyTypes [Ingress] an egress section means nothing',
    policies: [policy({ podSelector: A, policyTypes: ['Ingress'], egress: [{ to: [{ podSelector: B }] }] })],
    allowed: ['x/a > y/a', 'x/a > x/b'],
    denied: ['x/b > x/a'],
  },
  {
    name: 'with policyTypes [Egress] an ingress section means nothing',
    policies: [policy({ podSelector: A, policyTypes: ['Egress'], ingress: [{ from: [{ podSelector: B }] }] })],
    allowed: ['y/a > x/a', 'x/b > x/a'],
    denied: ['x/a > x/b'],
  },
  // podSelector peers.
  {
    name: 'a podSelector is of the policy’s own namespace',
    policies: [from({ podSelector: B })],
    allowed: ['x/b > x/a', 'x/b > x/a:8081'],
    denied: ['y/b > x/a', 'y/a > x/a', 'z/a > x/a'],
  },
  {
    name: 'an empty podSelector selects all pods of the policy’s own namespace',
    policies: [from({ podSelector: {} })],
    allowed: ['x/b > x/a'],
    denied: ['y/a > x/a', 'y/b > x/a'],
  },
  {
    name: 'matchLabels must all be met',
    policies: [
      policy(
        {
          podSelector: B,
          policyTypes: ['Ingress'],
          ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: 'a', tier: 'front' } } }] }],
        },
        'x',
      ),
    ],
    allowed: ['x/a > x/b', 'y/a > x/b'],
    denied: ['z/a > x/b', 'y/b > x/b'],
  },
  {
    name: 'matchExpressions In',
    policies: [from({ namespaceSelector: {}, podSelector: expression('app', 'In', 'b', 'c') })],
    allowed: ['x/b > x/a', 'y/b > x/a'],
    denied: ['y/a > x/a', 'z/a > x/a'],
  },
  {
    name: 'matchExpressions NotIn takes pods without the label',
    policies: [from({ namespaceSelector: {}, podSelector: expression('tier', 'NotIn', 'front') })],
    allowed: ['x/b > x/a', 'y/b > x/a', 'z/a > x/a'],
    denied: ['y/a > x/a'],
  },
  {
    name: 'matchExpressions Exists',
    policies: [from({ namespaceSelector: {}, podSelector: expression('tier', 'Exists') })],
    allowed: ['y/a > x/a', 'y/b > x/a'],
    denied: ['x/b > x/a', 'z/a > x/a'],
  },
  {
    name: 'matchExpressions DoesNotExist',
    policies: [from({ namespaceSelector: {}, podSelector: expression('tier', 'DoesNotExist') })],
    allowed: ['x/b > x/a', 'z/a > x/a'],
    denied: ['y/a > x/a', 'y/b > x/a'],
  },
  {
    name: 'matchLabels and matchExpressions must both be met',
    policies: [
      from({ namespaceSelector: {}, podSelector: { matchLabels: { app: 'b' }, ...expression('tier', 'Exists') } }),
    ],
    allowed: ['y/b > x/a'],
    denied: ['x/b > x/a', 'y/a > x/a'],
  },
  {
    name: 'the selected pods themselves by matchExpressions',
    policies: [policy({ podSelector: expression('tier', 'DoesNotExist'), policyTypes: ['Ingress'] })],
    allowed: ['y/a > x/a'],
    denied: ['y/a > x/b', 'x/a > x/b'],
  },
  // namespaceSelector peers.
  {
    name: 'a namespaceSelector alone selects all pods of its namespaces',
    policies: [from({ namespaceSelector: BLUE })],
    allowed: ['y/a > x/a', 'y/b > x/a'],
    denied: ['x/b > x/a', 'z/a > x/a'],
  },
  {
    name: 'an empty namespaceSelector selects all pods of all namespaces',
    policies: [from({ namespaceSelector: {} }), denyIngress('z')],
    allowed: ['x/b > x/a', 'y/a > x/a', 'z/a > x/a'],
    denied: ['x/a > z/a'],
  },
  {
    name: 'a namespaceSelector of the own namespace does not take in others',
    policies: [from({ namespaceSelector: RED })],
    allowed: ['x/b > x/a'],
    denied: ['y/a > x/a', 'z/a > x/a'],
  },
  {
    name: 'namespaceSelector by matchExpressions NotIn takes namespaces without the label',
    policies: [from({ namespaceSelector: expression('team', 'NotIn', 'blue') })],
    allowed: ['x/b > x/a', 'z/a > x/a'],
    denied: ['y/a > x/a'],
  },
  {
    name: 'namespaceSelector by matchExpressions DoesNotExist',
    policies: [from({ namespaceSelector: expression('team', 'DoesNotExist') })],
    allowed: ['z/a > x/a'],
    denied: ['x/b > x/a', 'y/b > x/a'],
  },
  {
    name: 'namespaceSelector by matchExpressions Exists',
    policies: [from({ namespaceSelector: expression('stage', 'Exists') })],
    allowed: ['y/a > x/a'],
    denied: ['x/b > x/a', 'z/a > x/a'],
  },
  {
    name: 'a namespaceSelector that no namespace meets allows nobody',
    policies: [from({ namespaceSelector: { matchLabels: { team: 'green' } } })],
    allowed: ['x/a > y/a'],
    denied: ['x/b > x/a', 'y/a > x/a'],
  },
  // Both in one peer, and in two.
  {
    name: 'namespaceSelector and podSelector in one peer: pods of those namespaces with those labels',
    policies: [from({ namespaceSelector: BLUE, podSelector: B })],
    allowed: ['y/b > x/a'],
    denied: ['y/a > x/a', 'x/b > x/a'],
  },
  {
    name: 'namespaceSelector and podSelector in two peers: either is enough',
    policies: [from({ namespaceSelector: BLUE }, { podSelector: B })],
    allowed: ['y/a > x/a', 'y/b > x/a', 'x/b > x/a'],
    denied: ['z/a > x/a'],
  },
  {
    name: 'an empty podSelector beside a namespaceSelector selects all pods of those namespaces',
    policies: [from({ namespaceSelector: BLUE, podSelector: {} })],
    allowed: ['y/a > x/a', 'y/b > x/a'],
    denied: ['x/b > x/a'],
  },
  {
    name: 'an empty namespaceSelector beside a podSelector selects such pods of all namespaces',
    policies: [from({ namespaceSelector: {}, podSelector: B })],
    allowed: ['x/b > x/a', 'y/b > x/a'],
    denied: ['y/a > x/a', 'z/a > x/a'],
  },
  // Peers that are absent or empty.
  {
    name: 'an empty from allows everyone',
    policies: [ingress({ from: [] }), denyIngress('y')],
    allowed: ['x/b > x/a', 'z/a > x/a'],
    denied: ['x/a > y/a'],
  },
  {
    name: 'an absent from allows everyone, to the rule’s ports',
    policies: [ingress({ ports: [{ port: PORTS.alt }] })],
    allowed: ['z/a > x/a:8081', 'x/b > x/a:8081'],
    denied: ['z/a > x/a:8080'],
  },
  // Address blocks.
  {
    name: 'ipBlock of one pod’s address',
    policies: [ingressBy((ip) => ({ from: [{ ipBlock: { cidr: host(ip['y/a']) } }] }))],
    allowed: ['y/a > x/a'],
    denied: ['y/b > x/a', 'x/b > x/a', 'z/a > x/a'],
  },
  {
    name: 'ipBlock of everything, with an exception',
    policies: [
      ingressBy((ip) => ({
        from: EVERYWHERE.map((cidr) => ({ ipBlock: { cidr, except: exceptIn(cidr, ip['y/a'], ip['z/a']) } })),
      })),
    ],
    allowed: ['y/b > x/a', 'x/b > x/a'],
    denied: ['y/a > x/a', 'z/a > x/a'],
  },
  {
    name: 'an exception in one block does not take away what another peer allows',
    policies: [
      ingressBy((ip) => ({
        from: [
          ...EVERYWHERE.map((cidr) => ({ ipBlock: { cidr, except: exceptIn(cidr, ip['y/a'], ip['z/a']) } })),
          { namespaceSelector: BLUE },
        ],
      })),
    ],
    allowed: ['y/a > x/a', 'x/b > x/a'],
    denied: ['z/a > x/a'],
  },
  {
    name: 'two blocks with exceptions, each for the other’s: either is enough',
    policies: [
      ingressBy((ip) => ({
        from: [ip['y/a'], ip['z/a']].map((address) => ({ ipBlock: { cidr: host(address) } })),
      })),
    ],
    allowed: ['y/a > x/a', 'z/a > x/a'],
    denied: ['y/b > x/a', 'x/b > x/a'],
  },
  {
    name: 'egress to ipBlock of one address',
    policies: [egressBy((ip) => ({ to: [{ ipBlock: { cidr: host(ip['y/b']) } }] }))],
    allowed: ['x/a > y/b', 'x/b > y/a'],
    denied: ['x/a > y/a', 'x/a > x/b'],
  },
  {
    name: 'egress to ipBlock of everything, with an exception',
    policies: [
      egressBy((ip) => ({
        to: EVERYWHERE.map((cidr) => ({ ipBlock: { cidr, except: exceptIn(cidr, ip['y/b']) } })),
      })),
    ],
    allowed: ['x/a > y/a', 'x/a > x/b'],
    denied: ['x/a > y/b'],
  },
  {
    name: 'ipBlock and ports of one rule must both be met',
    policies: [ingressBy((ip) => ({ from: [{ ipBlock: { cidr: host(ip['y/a']) } }], ports: [{ port: PORTS.http }] }))],
    allowed: ['y/a > x/a:8080'],
    denied: ['y/a > x/a:8081', 'y/b > x/a:8080'],
  },
  {
    name: 'ipBlock of the other family holds nobody',
    policies: [ingressBy((ip) => ({ from: [{ ipBlock: { cidr: ip['y/a'].includes(':') ? '0.0.0.0/0' : '::/0' } }] }))],
    allowed: ['x/a > y/a'],
    denied: ['y/a > x/a', 'x/b > x/a'],
  },
  // Ports.
  {
    name: 'a port by number',
    policies: [ingress({ ports: [{ protocol: 'TCP', port: PORTS.http }] })],
    allowed: ['x/b > x/a:8080', 'y/a > x/a:8080'],
    denied: ['x/b > x/a:8081'],
  },
  {
    name: 'a port by name is one of the destination’s containers',
    policies: [ingress({ ports: [{ port: 'alt' }] })],
    allowed: ['x/b > x/a:8081'],
    denied: ['x/b > x/a:8080'],
  },
  {
    name: 'a name that no container has matches no port',
    policies: [ingress({ ports: [{ port: 'grpc' }] })],
    allowed: ['x/b > y/a'],
    denied: ['x/b > x/a:8080', 'x/b > x/a:8081'],
  },
  {
    name: 'two ports: either is enough',
    policies: [ingress({ ports: [{ port: 'http' }, { port: PORTS.alt }] }), denyIngress('z')],
    allowed: ['x/b > x/a:8080', 'x/b > x/a:8081'],
    denied: ['x/b > z/a'],
  },
  {
    name: 'a range of ports takes in both ends',
    policies: [ingress({ ports: [{ port: 8080, endPort: 8081 }] }), denyIngress('z')],
    allowed: ['x/b > x/a:8080', 'x/b > x/a:8081'],
    denied: ['x/b > z/a'],
  },
  {
    name: 'a range of ports that ends before',
    policies: [ingress({ ports: [{ port: 8000, endPort: 8080 }] })],
    allowed: ['x/b > x/a:8080'],
    denied: ['x/b > x/a:8081'],
  },
  {
    name: 'a range of ports that begins behind',
    policies: [ingress({ ports: [{ port: 8081, endPort: 9000 }] })],
    allowed: ['x/b > x/a:8081'],
    denied: ['x/b > x/a:8080'],
  },
  {
    name: 'a port of another protocol allows no TCP',
    policies: [ingress({ ports: [{ protocol: 'UDP', port: PORTS.http }] })],
    allowed: ['x/a > y/a'],
    denied: ['x/b > x/a:8080', 'x/b > x/a:8081'],
  },
  {
    name: 'another protocol without a port allows no TCP; TCP without one all of it',
    policies: [
      ingress(
        { from: [{ podSelector: B }], ports: [{ protocol: 'SCTP' }] },
        { from: [{ namespaceSelector: BLUE }], ports: [{ protocol: 'TCP' }] },
      ),
    ],
    allowed: ['y/a > x/a:8080', 'y/b > x/a:8081'],
    denied: ['x/b > x/a', 'z/a > x/a'],
  },
  {
    name: 'empty ports are all ports',
    policies: [ingress({ from: [{ podSelector: B }], ports: [] })],
    allowed: ['x/b > x/a:8080', 'x/b > x/a:8081'],
    denied: ['y/b > x/a'],
  },
  {
    name: 'peers and ports of one rule must both be met; those of two rules do not mix',
    policies: [
      ingress(
        { from: [{ podSelector: B }], ports: [{ port: PORTS.http }] },
        { from: [{ namespaceSelector: BLUE }], ports: [{ port: PORTS.alt }] },
      ),
    ],
    allowed: ['x/b > x/a:8080', 'y/a > x/a:8081'],
    denied: ['x/b > x/a:8081', 'y/a > x/a:8080', 'z/a > x/a:8080'],
  },
  {
    name: 'egress to a port by number',
    policies: [egress({ ports: [{ port: PORTS.alt }] })],
    allowed: ['x/a > y/a:8081', 'x/a > z/a:8081'],
    denied: ['x/a > y/a:8080'],
  },
  {
    name: 'egress to a port by name: of the destination’s containers',
    policies: [egress({ to: [{ namespaceSelector: BLUE }], ports: [{ port: 'http' }] })],
    allowed: ['x/a > y/a:8080', 'x/a > y/b:8080'],
    denied: ['x/a > y/a:8081', 'x/a > z/a:8080'],
  },
  {
    name: 'egress to a range of ports',
    policies: [egress({ to: [{ podSelector: B }], ports: [{ port: 8000, endPort: 8080 }] })],
    allowed: ['x/a > x/b:8080'],
    denied: ['x/a > x/b:8081', 'x/a > y/b:8080'],
  },
  // Egress peers.
  {
    name: 'egress to pods of the own namespace',
    policies: [to({ podSelector: B })],
    allowed: ['x/a > x/b', 'x/b > y/b', 'y/a > x/a'],
    denied: ['x/a > y/b', 'x/a > z/a'],
  },
  {
    name: 'egress to a namespace',
    policies: [to({ namespaceSelector: BLUE })],
    allowed: ['x/a > y/a', 'x/a > y/b'],
    denied: ['x/a > x/b', 'x/a > z/a'],
  },
  {
    name: 'egress to some pods of a namespace',
    policies: [to({ namespaceSelector: BLUE, podSelector: B })],
    allowed: ['x/a > y/b'],
    denied: ['x/a > y/a', 'x/a > x/b'],
  },
  {
    name: 'egress with an empty to allows every destination',
    policies: [egress({ to: [] }), denyEgress('y')],
    allowed: ['x/a > y/a', 'x/a > z/a'],
    denied: ['y/a > z/a'],
  },
  // Several policies.
  {
    name: 'policies add up: what either allows is allowed',
    policies: [
      policy({ podSelector: A, ingress: [{ from: [{ podSelector: B }] }] }, 'x', 'one'),
      policy({ podSelector: {}, ingress: [{ from: [{ namespaceSelector: BLUE }] }] }, 'x', 'two'),
    ],
    allowed: ['x/b > x/a', 'y/a > x/a', 'y/a > x/b'],
    denied: ['z/a > x/a', 'x/a > x/b'],
  },
  {
    name: 'a default deny takes away nothing that another policy allows',
    policies: [denyIngress('x'), from({ namespaceSelector: BLUE, podSelector: A })],
    allowed: ['y/a > x/a'],
    denied: ['y/b > x/a', 'x/b > x/a', 'y/a > x/b'],
  },
  {
    name: 'policies of one direction and of the other do not mix',
    policies: [
      policy({ podSelector: A, policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: B }] }] }, 'x', 'in'),
      policy({ podSelector: A, policyTypes: ['Egress'], egress: [{ to: [{ namespaceSelector: BLUE }] }] }, 'x', 'out'),
    ],
    allowed: ['x/b > x/a', 'x/a > y/a'],
    denied: ['x/a > x/b', 'y/a > x/a'],
  },
  {
    name: 'a connection needs the egress of its source and the ingress of its destination: ingress alone is not enough',
    policies: [denyEgress('y'), from({ namespaceSelector: BLUE })],
    allowed: ['x/a > y/a'],
    denied: ['y/a > x/a', 'x/b > x/a'],
  },
  {
    name: 'a connection needs the egress of its source and the ingress of its destination: egress alone is not enough',
    policies: [denyIngress('y'), to({ namespaceSelector: BLUE })],
    allowed: ['y/a > x/a'],
    denied: ['x/a > y/a', 'x/b > y/b'],
  },
  {
    name: 'a connection that both ends allow',
    policies: [
      denyIngress('y'),
      policy({ podSelector: A, ingress: [{ from: [{ namespaceSelector: RED }] }] }, 'y', 'from-red'),
      to({ namespaceSelector: BLUE }),
    ],
    allowed: ['x/a > y/a', 'x/b > y/a'],
    denied: ['x/a > y/b', 'x/a > z/a', 'z/a > y/a'],
  },
  {
    name: 'answers need no rule: a pod without egress answers whom its ingress lets in',
    policies: [denyEgress('x'), from({ namespaceSelector: BLUE })],
    allowed: ['y/a > x/a'],
    denied: ['x/a > y/a', 'z/a > x/a'],
  },
  {
    name: 'a pod cannot be kept from itself',
    policies: [policy({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] })],
    allowed: ['x/a > x/a', 'x/b > x/b:8081'],
    denied: ['x/a > x/b'],
  },
];

/** Those of the addresses that are of a block's family, as networks. */
function exceptIn(cidr: string, ...addresses: string[]): string[] {
  return addresses.filter((address) => address.includes(':') === cidr.includes(':')).map(host);
}
