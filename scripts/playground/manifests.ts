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
 * The one change to the manifests that one machine needs: all webhook replicas share it, so each binds to its own pod's
 * address where on a cluster it binds to every address of its own network namespace. Other objects pass through.
 */
export function bindWebhookToPod<T extends AnyObject>(object: T): T {
  const text = (object as ConfigMapObject).data?.['webhook.yaml'];
  if (object.kind !== 'ConfigMap' || text === undefined) return object;
  const config = parseDocument(text);
  config.setIn(['https', 'ip'], 'pod');
  config.setIn(['admin', 'ip'], 'pod');
  return { ...object, data: { ...(object as ConfigMapObject).data, 'webhook.yaml': String(config) } };
}
