import type { Profile } from './annotations.ts';
import type { ContainerView } from './pod-view.ts';

/** How a container reaches its proxy, for clients that do not read a URL. */
export interface ProxyPlace {
  /** As a kubelet expands it: `$(NODE_NAME)` or `$(NODE_IP)`, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Hosts that are reached without the proxy. */
  readonly noProxy: readonly string[];
  readonly clusterDomain: string;
}

export interface ProfileVariables {
  readonly env: readonly { readonly name: string; readonly value: string }[];
  /** What could not be done, as complete sentences without their subject. */
  readonly problems: readonly string[];
}

/**
 * The variables that annotation nodemesh.dev/profile adds to a container, for clients to which http_proxy says nothing or too much:
 *
 *   java  JVMs read no http_proxy: system properties, in JAVA_TOOL_OPTIONS (JVM TI specification), or where the container
 *         sets that itself in JDK_JAVA_OPTIONS (the `java` launcher since 9)
 *   node  Node's own clients read http_proxy where NODE_USE_ENV_PROXY is 1 (Node 22.21 and 24.5)
 *   cgi   nothing more, and no NO_PROXY: only lower-case names, which no CGI server takes from a client's header (httpoxy)
 *   grpc  gRPC asks an HTTP proxy for CONNECT: calls go direct instead, by an empty grpc_proxy (gRPC core: "an empty value
 *         means don't use proxy") and, for what does not know that (grpc-js), by no_grpc_proxy
 *
 * A variable that the container has is left as it is.
 */
export function profileVariables(
  profiles: readonly Profile[],
  container: ContainerView,
  proxy: ProxyPlace,
): ProfileVariables {
  const has = (name: string) => container.env?.some((entry) => entry.name === name) === true;
  const env: { name: string; value: string }[] = [];
  const problems: string[] = [];
  if (profiles.includes('java')) {
    const name = ['JAVA_TOOL_OPTIONS', 'JDK_JAVA_OPTIONS'].find((option) => !has(option));
    if (container.hasEnvFrom) {
      problems.push('has envFrom, where options of its JVM may come from: profile java adds none to it');
    } else if (name === undefined) {
      problems.push('sets both JAVA_TOOL_OPTIONS and JDK_JAVA_OPTIONS: profile java finds no place for its options');
    } else {
      env.push({ name, value: javaOptions(proxy) });
    }
  }
  if (profiles.includes('node') && !has('NODE_USE_ENV_PROXY')) env.push({ name: 'NODE_USE_ENV_PROXY', value: '1' });
  if (profiles.includes('grpc')) {
    const direct = [...proxy.noProxy, '.svc', `.${proxy.clusterDomain}`].join(',');
    if (!has('grpc_proxy')) env.push({ name: 'grpc_proxy', value: '' });
    if (!has('no_grpc_proxy')) env.push({ name: 'no_grpc_proxy', value: direct });
  }
  return { env, problems };
}

/** System properties of the JDK (java.base, networking properties): hosts are separated by `|`, IPv6 ones in brackets. */
function javaOptions({ host, port, noProxy }: ProxyPlace): string {
  const hosts = noProxy.map((name) => (name.includes(':') ? `[${name}]` : name.replace(/^\./, '*.')));
  const except = ['127.*', ...hosts.filter((name) => !/[\s|]/.test(name))];
  return [`-Dhttp.proxyHost=${host}`, `-Dhttp.proxyPort=${port}`, `-Dhttp.nonProxyHosts=${except.join('|')}`].join(' ');
}
