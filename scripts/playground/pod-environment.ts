import { type EnvSources, expand, expandEnv } from '../../lib/kubernetes/env-expansion.ts';
import type { Container, FieldSource, PodObject } from './objects.ts';

/** What only the kubelet knows of a pod when it starts its containers. */
export interface PodPlace {
  readonly podIp: string;
  readonly hostIp: string;
  readonly api: { readonly ip: string; readonly port: number };
}

/** A container's environment, command and arguments, ready to run. */
export interface ResolvedContainer {
  readonly env: Readonly<Record<string, string>>;
  readonly argv: readonly string[];
}

/**
 * Resolves a container as a kubelet does: fieldRefs, the API server's Service variables, `$(VAR)` in env, command and args.
 * Throws an Error that names what the playground does not know (envFrom, secretKeyRef, other fields).
 */
export function resolveContainer(container: Container, pod: PodObject, place: PodPlace): ResolvedContainer {
  if ((container.envFrom ?? []).length > 0)
    throw new Error(`container ${container.name}: envFrom is not supported here`);
  const env = expandEnv(container.env ?? [], {
    services: {
      KUBERNETES_SERVICE_HOST: place.api.ip,
      KUBERNETES_SERVICE_PORT: String(place.api.port),
      KUBERNETES_SERVICE_PORT_HTTPS: String(place.api.port),
    },
    valueFrom: fieldSource(pod, place),
  });
  const argv = [...(container.command ?? []), ...(container.args ?? [])].map((text) =>
    expand(text, (name) => env[name]),
  );
  return { env, argv };
}

function fieldSource(pod: PodObject, place: PodPlace): NonNullable<EnvSources['valueFrom']> {
  return (source) => {
    const path = (source as FieldSource).fieldRef?.fieldPath;
    if (path === undefined)
      throw new Error(`valueFrom ${JSON.stringify(source)} is not supported here: only fieldRef is`);
    return fieldValue(path, pod, place);
  };
}

/** The downward API's fields (Kubernetes docs, "Available fields": fieldRef). Throws an Error for any other. */
export function fieldValue(path: string, pod: PodObject, place: PodPlace): string {
  const { metadata, spec } = pod;
  const [, map, key = ''] = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path) ?? [];
  if (map !== undefined) return metadata[map as 'labels' | 'annotations']?.[key] ?? '';
  switch (path) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? 'default';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'spec.nodeName':
      return spec.nodeName ?? '';
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return place.hostIp;
    case 'status.podIP':
    case 'status.podIPs':
      return place.podIp;
    default:
      throw new Error(`fieldPath ${path} is not supported by the downward API as environment variable`);
  }
}
