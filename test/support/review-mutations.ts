/** Any JSON that might come where an AdmissionReview is expected, grown from ones that do come. */

const REVIEWS: readonly object[] = ['v1', 'v1beta1'].flatMap((version) => [
  review(version, 'CREATE', '', {
    metadata: {
      generateName: 'web-',
      labels: { app: 'web', 'mesh-inject': 'enabled' },
      annotations: { 'nodemesh.dev/skip-containers': 'b', 'nodemesh.dev/profile': 'java,node' },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'o-1', controller: true }],
    },
    spec: {
      containers: [
        { name: 'a', image: 'a', command: ['a', '$(NODE_NAME)'], env: [{ name: 'A', value: '$(B)' }] },
        { name: 'b', image: 'b', envFrom: [{ configMapRef: { name: 'c' } }] },
        {
          name: 'c',
          env: [{ name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
          livenessProbe: { exec: { command: ['wget', 'http://localhost/'] } },
        },
      ],
      initContainers: [{ name: 'i', env: null, restartPolicy: 'Always' }],
      tolerations: [{ key: 'a', operator: 'Exists' }],
      nodeSelector: { 'kubernetes.io/os': 'linux' },
    },
  }),
  review(version, 'UPDATE', 'ephemeralcontainers', {
    metadata: { name: 'web-1', annotations: { 'nodemesh.dev/status': '{"version":1,"containers":[]}' } },
    spec: { containers: [{ name: 'a' }], ephemeralContainers: [{ name: 'debug-1' }, { name: 'debug-2', env: [] }] },
  }),
]);

function review(version: string, operation: string, subResource: string, object: object): object {
  return {
    apiVersion: `admission.k8s.io/${version}`,
    kind: 'AdmissionReview',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      subResource,
      namespace: 'shop',
      operation,
      object,
      oldObject: operation === 'CREATE' ? null : { spec: { ephemeralContainers: [{ name: 'debug-1' }] } },
      dryRun: false,
      options: null,
    },
  };
}

const KEYS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', 'env', 'name', 'containers', 'mesh-inject'];
const SCALARS: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1e308,
  '',
  'x',
  'enabled',
  'disabled',
  '99999',
  '\u0000\uffff',
];

/** Gives the JSON text of a review with up to eight changes anywhere in it, and now and then a fault in the text itself. */
export function mutateReview(random: () => number): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const root = { review: structuredClone(pick(REVIEWS)) as unknown };
  for (let changes = Math.floor(random() * 9); changes > 0; changes -= 1) changeSomewhere(root, random, pick);
  const text = JSON.stringify(root.review) ?? '';
  if (random() > 0.03) return text;
  const at = Math.floor(random() * text.length);
  return random() < 0.5
    ? text.slice(0, at)
    : `${text.slice(0, at)}${pick(['"', '{', ',', '\\', '1'])}${text.slice(at)}`;
}

type Pick = <T>(list: readonly T[]) => T;
type Place = readonly [container: Record<string, unknown>, key: string];

function changeSomewhere(root: object, random: () => number, pick: Pick): void {
  const places = placesIn(root);
  if (places.length === 0) return;
  const [container, key] = pick(places);
  const roll = random();
  if (roll < 0.45) set(container, key, anyValue(random, pick));
  else if (roll < 0.6) delete container[key];
  else if (roll < 0.8) set(container, pick(KEYS), anyValue(random, pick));
  else if (Array.isArray(container)) container.push(structuredClone(container[Number(key)]));
  else set(container, pick(KEYS), structuredClone(container[key]));
}

/** As JSON.parse does it: `__proto__` is a key like others. */
function set(container: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(container, key, { value, enumerable: true, configurable: true, writable: true });
}

function anyValue(random: () => number, pick: Pick): unknown {
  const roll = random();
  if (roll < 0.6) return pick(SCALARS);
  if (roll < 0.7) return pick([[], {}, [null], [[]], [{}], { name: 'x' }]);
  if (roll < 0.8) return 'x'.repeat(Math.floor(random() * 20_000));
  if (roll < 0.9) return Array.from({ length: Math.floor(random() * 50) }, () => ({ name: pick(KEYS), value: '$(A)' }));
  let deep: unknown = null;
  for (let depth = Math.floor(random() * 500); depth > 0; depth -= 1) deep = depth % 2 === 0 ? [deep] : { env: deep };
  return deep;
}

/** Every place in a value that holds another; no deeper than a pod goes. */
function placesIn(value: object, depth = 0): Place[] {
  if (depth > 12) return [];
  return Object.keys(value).flatMap((key): Place[] => {
    const container = value as Record<string, unknown>;
    const inner = container[key];
    const here: Place = [container, key];
    return typeof inner === 'object' && inner !== null ? [here, ...placesIn(inner, depth + 1)] : [here];
  });
}
