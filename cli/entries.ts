import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { type LabelSelector, unmetRequirement } from '../lib/kubernetes/label-selector.ts';

/** An entry of the MutatingWebhookConfiguration as far as it says which pods the API server asks about. */
export interface WebhookEntry {
  readonly name: string;
  readonly namespaceSelector?: LabelSelector | null;
  readonly objectSelector?: LabelSelector | null;
  readonly matchConditions?: readonly { readonly name: string }[] | null;
}

export type Labels = Readonly<Record<string, string>>;

export interface Asked {
  readonly entry: string;
  readonly asked: boolean;
  readonly why: string;
}

/** Whether the API server asks an entry about the creation of a pod with these labels in a namespace with those, and why. */
export function judgeEntry(entry: WebhookEntry, namespace: Labels, pod: Labels): Asked {
  const { name, namespaceSelector, objectSelector, matchConditions } = entry;
  const byNamespace = unmetRequirement(namespaceSelector, namespace);
  const byPod = unmetRequirement(objectSelector, pod);
  if (byNamespace !== undefined)
    return { entry: name, asked: false, why: `the namespace's labels do not fit ${byNamespace}` };
  if (byPod !== undefined) return { entry: name, asked: false, why: `the pod's labels do not fit ${byPod}` };
  const conditions = (matchConditions ?? []).map((condition) => condition.name);
  const but = conditions.length === 0 ? '' : `, unless one of its matchConditions says no: ${conditions.join(', ')}`;
  return { entry: name, asked: true, why: `the labels of namespace and pod fit its selectors${but}` };
}

/** Its manifest's place in the sources, and beside the bundle. */
const SHIPPED = [
  '../manifests/base/webhook/mutating-webhook-configuration.yaml',
  './mutating-webhook-configuration.yaml',
];

/** The entries that come with this nodemesh; none where its manifest is not at hand. */
export async function shippedEntries(): Promise<readonly WebhookEntry[]> {
  for (const place of SHIPPED) {
    const text = await readFile(new URL(place, import.meta.url), 'utf8').catch(() => undefined);
    if (text !== undefined) return entriesOf(parse(text, { merge: true }));
  }
  return [];
}

/** The entries of a MutatingWebhookConfiguration. */
export function entriesOf(configuration: unknown): readonly WebhookEntry[] {
  return (configuration as { webhooks?: readonly WebhookEntry[] | null } | undefined)?.webhooks ?? [];
}
