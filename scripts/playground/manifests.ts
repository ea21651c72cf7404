import { readFileSync } from 'node:fs';
import { parseAllDocuments, parseDocument } from 'yaml';
import type { AnyObject, ConfigMapObject } from './objects.ts';

/**
 * The objects of a manifest file, in its order, Lists taken apart, with `namespace` where a namespaced object names none
 * (as `kubectl -n` does; on cluster-wide ones it does no harm here). Throws an Error that names the file for bad YAML.
 */
export function readManifest(file: string, namespace?: string): AnyObject[] {
  const documents = parseAllDocuments(readFileSync(file, 'utf8'));
  const objects = documents.flatMap((document) => {
    const [problem] = document.errors;
    if (problem !== undefined) throw new Error(`${file}: ${problem.message}`);
    const value = document.toJS() as (AnyObject & { readonly items?: readonly AnyObject[] }) | null;
    if (value === null) return [];
    return value.kind === 'List' ? (value.items ?? []) : [value];
  });
  return objects.map((object) =>
    namespace === undefined || object.metadata.namespace !== undefined
      ? object
      : { ...object, metadata: { ...object.metadata, namespace } },
  );
}

/**
 * The changes to the manifests that one machine needs. All webhook replicas share it, so each binds to its own pod's address where
 * on a cluster it binds to every address of its own network namespace; and the console is open, since nobody but this machine
 * reaches these addresses. Other objects pass through.
 */
export function fitToMachine<T extends AnyObject>(object: T): T {
  const { 'webhook.yaml': webhookText, 'daemon.yaml': daemonText } = (object as ConfigMapObject).data ?? {};
  if (object.kind !== 'ConfigMap' || webhookText === undefined || daemonText === undefined) return object;
  const webhook = parseDocument(webhookText);
  webhook.setIn(['https', 'ip'], 'pod');
  webhook.setIn(['admin', 'ip'], 'pod');
  const daemon = parseDocument(daemonText);
  for (const config of [webhook, daemon]) {
    for (const access of ['diagnostics', 'tap']) config.setIn(['admin', 'access', access], 'open');
  }
  const data = { 'webhook.yaml': String(webhook), 'daemon.yaml': String(daemon) };
  return { ...object, data: { ...(object as ConfigMapObject).data, ...data } };
}
