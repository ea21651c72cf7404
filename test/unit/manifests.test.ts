import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';
import { parseDaemonConfig } from '../../daemon/config.ts';
import { ACCESS_PATHS } from '../../lib/admin-access.ts';
import { renderKustomization } from '../../scripts/kustomization.ts';
import { parseWebhookConfig } from '../../webhook/config.ts';

const MANIFESTS = fileURLToPath(new URL('../../manifests/', import.meta.url));
const read = (file: string) => readFileSync(MANIFESTS + file, 'utf8');

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: number | string; readonly host?: string };
}
interface Container {
  readonly image: string;
  readonly command: readonly string[];
  readonly env?: readonly { readonly name: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number; readonly hostPort?: number }[];
  readonly readinessProbe: Probe;
  readonly livenessProbe?: Probe;
  readonly securityContext: {
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly capabilities: { readonly drop: readonly string[] };
  };
}
interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly tolerations?: readonly object[];
  readonly priorityClassName?: string;
  readonly topologySpreadConstraints?: readonly object[];
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext: { readonly runAsNonRoot: boolean; readonly seccompProfile: { readonly type: string } };
  readonly containers: readonly Container[];
}
/** The fields that these tests look at, of any kind. */
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: {
    readonly replicas?: number;
    readonly strategy?: object;
    readonly clusterIP?: string;
    readonly ports?: readonly { readonly name: string; readonly port: number; readonly targetPort: number | string }[];
    readonly template?: { readonly metadata: { readonly labels: Record<string, string> }; readonly spec: PodSpec };
  };
  readonly rules?: readonly {
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
  readonly webhooks?: readonly {
    readonly name: string;
    readonly clientConfig: object;
    readonly failurePolicy: string;
    readonly sideEffects: string;
    readonly timeoutSeconds?: number;
    readonly reinvocationPolicy?: string;
    readonly admissionReviewVersions: readonly string[];
    readonly rules: readonly { readonly operations: readonly string[]; readonly resources: readonly string[] }[];
  }[];
  readonly data?: Readonly<Record<string, string>>;
}

const manifestsIn = (text: string): Manifest[] => parseAllDocuments(text).map((document) => document.toJS());
const installed = manifestsIn(read('nodemesh.yaml'));
const helloWorld = manifestsIn(read('examples/hello-world.yaml'));

function find(kind: string, name: string): Manifest {
  const found = installed.find((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(found, `${kind} ${name} is missing`);
  return found;
}

describe('the manifests', () => {
  it('are in nodemesh.yaml as the kustomization renders them', async () => {
    assert.equal(read('nodemesh.yaml'), await renderKustomization(MANIFESTS), 'run `npm run render`');
  });

  it('list the same in manifests/ and in manifests/base/', () => {
    const root = parse(read('kustomization.yaml').replaceAll('base/', ''));
    assert.deepEqual(parse(read('base/kustomization.yaml')), root);
  });

  it('leave no file of the base out but the disruption budget, whose version no cluster-independent text can have', () => {
    const listed: string[] = parse(read('base/kustomization.yaml')).resources;
    const files = readdirSync(`${MANIFESTS}base`, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml' && !file.startsWith('config/'))
      .sort();
    assert.deepEqual([...listed, 'webhook/pod-disruption-budget.yaml'].sort(), files);
  });

  it('have the names that everything else relies on', () => {
    for (const [kind, name] of [
      ['Namespace', 'nodemesh'],
      ['ConfigMap', 'nodemesh-config'],
      ['Deployment', 'nodemesh-webhook'],
      ['Service', 'nodemesh-webhook'],
      ['ServiceAccount', 'nodemesh-webhook'],
      ['MutatingWebhookConfiguration', 'nodemesh'],
      ['DaemonSet', 'nodemesh-daemon'],
      ['Service', 'nodemesh-daemon'],
      ['ServiceAccount', 'nodemesh-daemon'],
    ] as const) {
      find(kind, name);
    }
    const clusterScoped = [
      'Namespace',
      'ClusterRole',
      'ClusterRoleBinding',
      'CustomResourceDefinition',
      'MutatingWebhookConfiguration',
    ];
    for (const { kind, metadata } of installed) {
      assert.equal(
        metadata.namespace,
        clusterScoped.includes(kind) ? undefined : 'nodemesh',
        `${kind} ${metadata.name}`,
      );
    }
  });

  it('never hold a caBundle, which applying them again would wipe', () => {
    for (const { clientConfig } of find('MutatingWebhookConfiguration', 'nodemesh').webhooks ?? []) {
      assert.deepEqual(Object.keys(clientConfig), ['service']);
    }
  });

  it('let pods start when the webhook does not answer, and ask it of their creation and their debug containers alone', () => {
    for (const { failurePolicy, sideEffects, rules } of find('MutatingWebhookConfiguration', 'nodemesh').webhooks ??
      []) {
      assert.equal(failurePolicy, 'Ignore');
      assert.equal(sideEffects, 'NoneOnDryRun');
      assert.deepEqual(
        rules.map((rule) => [rule.resources, rule.operations]),
        [
          [['pods'], ['CREATE']],
          [['pods/ephemeralcontainers'], ['UPDATE']],
        ],
      );
    }
  });

  it('keep a webhook there: two on nodes of their own, in zones of their own where that can be, and never one less', () => {
    const labels = { 'app.kubernetes.io/name': 'nodemesh', 'app.kubernetes.io/component': 'webhook' };
    const { spec } = find('Deployment', 'nodemesh-webhook');
    const pod = spec?.template?.spec;
    assert.deepEqual(spec?.template?.metadata.labels, labels);
    assert.equal(spec?.replicas, 2);
    assert.deepEqual(spec?.strategy, { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } });
    assert.equal(pod?.priorityClassName, 'system-cluster-critical');
    assert.deepEqual(
      pod?.topologySpreadConstraints,
      (
        [
          ['kubernetes.io/hostname', 'DoNotSchedule'],
          ['topology.kubernetes.io/zone', 'ScheduleAnyway'],
        ] as const
      ).map(([topologyKey, whenUnsatisfiable]) => ({
        topologyKey,
        maxSkew: 1,
        whenUnsatisfiable,
        labelSelector: { matchLabels: labels },
      })),
    );
    const { drainSeconds } = parseWebhookConfig('webhook.yaml', read('base/config/webhook.yaml'), {
      podName: 'nodemesh-webhook-0',
      podNamespace: 'nodemesh',
      podIp: '10.1.0.1',
    });
    // Beside the drain, answers that are under way and Events end in it.
    assert.ok((pod?.terminationGracePeriodSeconds ?? 0) >= drainSeconds + 10);
    const [container] = pod?.containers ?? [];
    assert.deepEqual(
      [container?.livenessProbe, container?.readinessProbe].map((probe) => probe?.httpGet),
      ['/livez', '/readyz'].map((path) => ({ path, port: 'admin' })),
    );
    const budget: Manifest = parse(read('base/webhook/pod-disruption-budget.yaml'));
    assert.deepEqual(budget.spec, {
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
      selector: { matchLabels: labels },
    });
  });

  it('let the API server in, ask it for little patience, and come by again after other webhooks', () => {
    const policy = find('NetworkPolicy', 'nodemesh-webhook').spec as { ingress?: unknown } | undefined;
    assert.deepEqual(policy?.ingress, [
      {
        ports: [
          { port: 'https', protocol: 'TCP' },
          { port: 'admin', protocol: 'TCP' },
        ],
      },
    ]);
    const webhooks = find('MutatingWebhookConfiguration', 'nodemesh').webhooks ?? [];
    assert.equal(webhooks.length, 2);
    for (const { timeoutSeconds, reinvocationPolicy, admissionReviewVersions } of webhooks) {
      assert.deepEqual(
        [timeoutSeconds, reinvocationPolicy, admissionReviewVersions],
        [3, 'IfNeeded', ['v1', 'v1beta1']],
      );
    }
  });

  it('put the daemon on the host network of every node, without a port that the scheduler would see', () => {
    const spec = find('DaemonSet', 'nodemesh-daemon').spec?.template?.spec;
    assert.equal(spec?.hostNetwork, true);
    assert.deepEqual(spec?.tolerations, [{ operator: 'Exists' }]);
    assert.equal(spec?.priorityClassName, 'system-node-critical');
    for (const { ports, readinessProbe, livenessProbe } of spec?.containers ?? []) {
      assert.equal(ports, undefined);
      for (const probe of [readinessProbe, livenessProbe]) {
        assert.equal(probe?.httpGet.port, 9990);
        assert.equal(probe?.httpGet.host, undefined); // the kubelet asks the pod's address, which is the node's
      }
    }
  });

  it('give the daemon a headless Service with the ports of its config by number', () => {
    const service = find('Service', 'nodemesh-daemon').spec;
    assert.equal(service?.clusterIP, 'None');
    assert.deepEqual(service?.ports, [
      { name: 'outgoing', port: 4140, targetPort: 4140, protocol: 'TCP' },
      { name: 'incoming', port: 4141, targetPort: 4141, protocol: 'TCP' },
      { name: 'admin', port: 9990, targetPort: 9990, protocol: 'TCP' },
    ]);
    const config = daemonConfig(find('ConfigMap', 'nodemesh-config').data?.['daemon.yaml'] ?? '');
    assert.deepEqual(
      [...config.routers.map((router) => router.servers[0]?.port), config.admin.port],
      service?.ports?.map((port) => port.port),
    );
  });

  it('keep every pod, of the mesh and of the example, to what "restricted" asks for, apart from the host network', () => {
    const workloads = [...installed, ...helloWorld].filter((object) => object.spec?.template !== undefined);
    assert.equal(workloads.length, 4);
    for (const { metadata, spec } of workloads) {
      const pod = spec?.template?.spec;
      assert.equal(pod?.securityContext.runAsNonRoot, true, metadata.name);
      assert.equal(pod?.securityContext.seccompProfile.type, 'RuntimeDefault', metadata.name);
      for (const { securityContext } of pod?.containers ?? []) {
        assert.equal(securityContext.allowPrivilegeEscalation, false, metadata.name);
        assert.equal(securityContext.readOnlyRootFilesystem, true, metadata.name);
        assert.deepEqual(securityContext.capabilities.drop, ['ALL'], metadata.name);
      }
    }
  });

  it('let the webhook change what is its own by name and sign for daemons, and the daemon ask for certificates alone', () => {
    const writes = (object: Manifest) =>
      (object.rules ?? []).filter((rule) => rule.verbs.some((verb) => !['get', 'list', 'watch'].includes(verb)));
    const clusterWide = (name: string) =>
      writes(find('ClusterRole', name)).map(({ resources, resourceNames }) => [resources, resourceNames]);
    assert.deepEqual(clusterWide('nodemesh-daemon'), [[['certificatesigningrequests'], undefined]]);
    assert.deepEqual(writes(find('Role', 'nodemesh-daemon')), []);
    assert.deepEqual(clusterWide('nodemesh-webhook'), [
      [['events'], undefined],
      [['mutatingwebhookconfigurations'], ['nodemesh']],
      // Allowed for what the next rule names alone.
      [['certificatesigningrequests/approval', 'certificatesigningrequests/status'], undefined],
      [['signers'], ['nodemesh.dev/daemon']],
    ]);
    // Whose a token is, and what they may read: no more of system:auth-delegator than this.
    assert.deepEqual(
      (find('ClusterRole', 'nodemesh-token-review').rules ?? []).map(({ resources, verbs }) => [resources, verbs]),
      [
        [['tokenreviews'], ['create']],
        [['subjectaccessreviews'], ['create']],
      ],
    );
    const ofRole = writes(find('Role', 'nodemesh-webhook'));
    // The console's, whose account may read diagnostics and nothing else.
    const token = ofRole.findIndex(({ resources }) => resources.includes('serviceaccounts/token'));
    assert.deepEqual(ofRole.splice(token, 1)[0]?.resourceNames, ['nodemesh-viewer']);
    for (const { verbs, resources, resourceNames } of ofRole) {
      const own = resources.includes('secrets') ? 'nodemesh-webhook-tls' : 'nodemesh-ca';
      // The name of what is yet to be created cannot be limited.
      assert.deepEqual(resourceNames, verbs.join() === 'create' ? undefined : [own]);
    }
  });

  it('let nobody but ServiceAccount nodemesh-viewer read diagnostics and requests', () => {
    const { rules, ...role } = find('ClusterRole', 'nodemesh-viewer');
    assert.deepEqual(rules, [
      { nonResourceURLs: ['/nodemesh/diagnostics', '/nodemesh/tap', '/metrics'], verbs: ['get'] },
    ]);
    assert.deepEqual(Object.values(ACCESS_PATHS).sort(), ['/metrics', '/nodemesh/diagnostics', '/nodemesh/tap']);
    const subjects = (name: string) =>
      (find('ClusterRoleBinding', name) as { subjects?: { kind: string; name: string; namespace: string }[] }).subjects;
    const account = (name: string) => ({ kind: 'ServiceAccount', name, namespace: 'nodemesh' });
    assert.deepEqual(subjects(role.metadata.name), [account('nodemesh-viewer')]);
    assert.deepEqual(subjects('nodemesh-token-review'), [account('nodemesh-daemon'), account('nodemesh-webhook')]);
    const { access } = daemonConfig(read('base/config/daemon.yaml')).admin;
    assert.deepEqual(access, { metrics: 'open', diagnostics: 'token', tap: 'token' });
  });
});

describe('the configs', () => {
  it('of the base bind every listener of the daemon to the node, the outgoing one for its pods alone', () => {
    const { admin, routers } = daemonConfig(read('base/config/daemon.yaml'));
    assert.equal(admin.ip, '10.0.0.1');
    assert.deepEqual(
      routers.map(({ role, servers }) => [
        role,
        servers.map(({ ip, port, allowedClients }) => ({ ip, port, allowedClients })),
      ]),
      [
        ['outgoing', [{ ip: '10.0.0.1', port: 4140, allowedClients: ['localPods'] }]],
        ['incoming', [{ ip: '10.0.0.1', port: 4141, allowedClients: undefined }]],
      ],
    );
  });

  it('of host-port differ from it in addresses and callers, and in what rests on callers, alone', () => {
    const base = daemonConfig(read('base/config/daemon.yaml'));
    const hostPort = daemonConfig(read('overlays/host-port/daemon.yaml'));
    assert.deepEqual(
      base.routers.map(({ policy }) => policy),
      ['enforce', 'enforce'],
    );
    const ofAddress = { ip: '0.0.0.0', reusePort: false };
    assert.deepEqual(hostPort, {
      ...base,
      admin: { ...base.admin, ip: '0.0.0.0' },
      routers: base.routers.map((router) => ({
        ...router,
        policy: 'off',
        servers: router.servers.map((server) => ({
          ...server,
          ...ofAddress,
          allowedClients: router.role === 'outgoing' ? ['0.0.0.0/0', '::/0'] : undefined,
        })),
      })),
    });
  });

  it('of the webhook choose what their overlay is named after', () => {
    const choice = (file: string) => {
      const environment = { podName: 'nodemesh-webhook-0', podNamespace: 'nodemesh', podIp: '10.1.0.1' };
      const config = parseWebhookConfig(file, read(file), environment);
      const { proxyAddress, proxyPort, namespaceInProxyUrl, servingCertificate } = config;
      return { proxyAddress, proxyPort, namespaceInProxyUrl, servingCertificate };
    };
    const base = {
      proxyAddress: 'auto',
      proxyPort: 4140,
      namespaceInProxyUrl: false,
      servingCertificate: 'selfMade',
    };
    assert.deepEqual(choice('base/config/webhook.yaml'), base);
    assert.deepEqual(choice('overlays/node-name/webhook.yaml'), { ...base, proxyAddress: 'nodeName' });
    assert.deepEqual(choice('overlays/host-ip/webhook.yaml'), { ...base, proxyAddress: 'hostIP' });
    assert.deepEqual(choice('overlays/host-port/webhook.yaml'), { ...base, namespaceInProxyUrl: true });
    assert.deepEqual(choice('overlays/cert-manager/webhook.yaml'), { ...base, servingCertificate: 'provided' });
  });
});

describe('hello-world.yaml', () => {
  it('knows nothing of a proxy and of no namespace', () => {
    assert.doesNotMatch(read('examples/hello-world.yaml'), /proxy:|_proxy|NODE_|4140/i);
    for (const { metadata } of helloWorld) assert.equal(metadata.namespace, undefined);
  });

  it('has three pods of each, behind headless Services on 7777 and 7778', () => {
    assert.deepEqual(
      helloWorld.map(({ kind, metadata, spec }) => [
        kind,
        metadata.name,
        kind === 'Service' ? [spec?.clusterIP, spec?.ports?.map((port) => port.port)] : spec?.replicas,
      ]),
      [
        ['Deployment', 'hello', 3],
        ['Service', 'hello', ['None', [7777]]],
        ['Deployment', 'world', 3],
        ['Service', 'world', ['None', [7778]]],
      ],
    );
  });
});

function daemonConfig(text: string) {
  return parseDaemonConfig('daemon.yaml', text, { nodeName: 'node-1', nodeIp: '10.0.0.1', podNamespace: 'nodemesh' });
}
