import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Cluster, inNamespace } from './cluster.ts';
import type { ConfigMapObject, Container, PodObject } from './objects.ts';

/**
 * Makes a pod's volumes as directories under `directory`: ConfigMaps as files, emptyDirs and projected volumes empty. Gives their paths by volume
 * name. Throws an Error where a ConfigMap is missing (and not optional) or a volume is of another kind.
 */
export function makeVolumes(pod: PodObject, directory: string, cluster: Cluster): ReadonlyMap<string, string> {
  const made = new Map<string, string>();
  for (const volume of pod.spec.volumes ?? []) {
    const path = join(directory, 'volumes', volume.name);
    mkdirSync(path, { recursive: true });
    made.set(volume.name, path);
    if (volume.configMap !== undefined) {
      const { name, optional = false, items } = volume.configMap;
      const data = cluster.get<ConfigMapObject>(inNamespace('/api/v1/configmaps', pod.metadata.namespace, name))?.data;
      if (data === undefined && !optional)
        throw new Error(`ConfigMap ${pod.metadata.namespace}/${name} does not exist`);
      const files = items ?? Object.keys(data ?? {}).map((key) => ({ key, path: key }));
      for (const { key, path: file } of files) {
        const text = data?.[key];
        if (text === undefined) throw new Error(`ConfigMap ${pod.metadata.namespace}/${name} has no key "${key}"`);
        mkdirSync(dirname(join(path, file)), { recursive: true });
        writeFileSync(join(path, file), text);
      }
    } else if (volume.emptyDir === undefined && volume.projected === undefined) {
      throw new Error(`volume ${volume.name}: only configMap, projected and emptyDir are known here`);
    }
  }
  return made;
}

/**
 * Arguments that lie under one of the container's mount paths, as paths on this machine: a process has no mounts of its own
 * here. Others stay as they are.
 */
export function rewriteMountedPaths(
  argv: readonly string[],
  mounts: Container['volumeMounts'],
  volumes: ReadonlyMap<string, string>,
): string[] {
  return argv.map((argument) => {
    for (const { name, mountPath } of mounts ?? []) {
      const base = mountPath.replace(/\/+$/, '');
      const volume = volumes.get(name);
      if (volume !== undefined && (argument === base || argument.startsWith(`${base}/`))) {
        return volume + argument.slice(base.length);
      }
    }
    return argument;
  });
}
