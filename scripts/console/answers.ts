/** What a daemon answers to `/resolve`, for a name that leads to three pods of which two are used. */
export const RESOLUTION = {
  node: 'node-a',
  at: 0,
  caller: {
    ip: '10.1.0.7',
    namespace: 'web',
    pod: 'storefront-5d8f9c6b7-x7k2p',
    workload: 'storefront',
    node: 'node-a',
    known: true,
    why: '',
  },
  steps: [
    {
      step: 'caller',
      title: 'web/storefront',
      detail: '10.1.0.7 is the pod storefront-5d8f9c6b7-x7k2p of this node',
      ok: true,
    },
    { step: 'identifier', title: '/svc/catalog.shop', detail: 'the name has a namespace of its own: shop', ok: true },
    { step: 'namer', title: 'Service shop/catalog', detail: 'port http (80), three endpoints', ok: true },
    { step: 'transformer', title: 'daemonset', detail: "each endpoint through its node's daemon, port 4141", ok: true },
    { step: 'balancer', title: 'p2c', detail: 'least loaded of two, by latency and requests under way', ok: true },
    { step: 'policy', title: 'allowed', detail: 'NetworkPolicy shop/catalog-callers lets web in', ok: true },
  ],
  name: '/svc/catalog.shop',
  service: { namespace: 'shop', name: 'catalog', port: 'http' },
  binding: null,
  endpoints: [
    endpoint('10.1.1.21:8080', 'x7k2p', 'node-b', { weight: 0.62, latencyMs: 4.2, inFlight: 1 }),
    endpoint('10.1.2.9:8080', 'm9w4d', 'node-c', { weight: 0.38, latencyMs: 8.9, inFlight: 2 }),
    endpoint('10.1.0.14:8080', 'q2r8s', 'node-a', { weight: 0, ready: false, dropped: 'its pod is not ready' }),
  ],
  outcome: { ok: true, error: null, text: 'Goes to one of two pods of shop/catalog' },
};

/** Finished requests, oldest first, as a tap shows them. */
export function records(at: number, count: number): readonly object[] {
  const calls = [
    ['GET', '/products?…', 'shop', 'catalog', 200],
    ['POST', '/cart/items', 'shop', 'cart', 201],
    ['GET', '/sessions/current', 'accounts', 'session', 200],
    ['POST', '/charges', 'payments', 'gateway', 503],
    ['GET', '/products/8812', 'shop', 'catalog', 404],
  ] as const;
  return Array.from({ length: count }, (_, index) => {
    const [method, uri, namespace, service, status] = calls[(index * 7) % calls.length] ?? calls[0];
    return {
      timestamp: new Date(at - (count - index) * 73).toISOString(),
      direction: 'outgoing',
      client_addr: '10.1.0.7:40112',
      src_namespace: 'web',
      src_workload: 'storefront',
      src_pod: 'storefront-5d8f9c6b7-x7k2p',
      host: `${service}.${namespace}`,
      method,
      uri,
      version: '1.1',
      status,
      error: '',
      request_bytes: 0,
      response_bytes: 1_204,
      total_ms: 3 + ((index * 37) % 90) / 7,
      processing_ms: 0.4,
      dst_namespace: namespace,
      dst_service: service,
      backend: '10.1.1.21:8080',
      dst_pod: `${service}-5d8f9c6b7-x7k2p`,
      peer: '10.0.0.12:4141',
      node: 'node-a',
      attempts: status === 503 ? 2 : 1,
      retries: status === 503 ? ['refused'] : [],
      trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
      user_agent: 'storefront/3.2',
    };
  });
}

function endpoint(address: string, pod: string, node: string, more: object): object {
  return {
    address,
    pod: `catalog-5d8f9c6b7-${pod}`,
    node,
    zone: null,
    ready: true,
    gateway: `${node}:4141`,
    weight: null,
    load: null,
    latencyMs: null,
    inFlight: null,
    out: false,
    dropped: null,
    policy: { verdict: 'allowed', by: 'NetworkPolicy shop/catalog-callers' },
    ...more,
  };
}
