import { labelEnables } from '../../webhook/mutation.ts';
import { asRecord, asText } from '../../webhook/pod-view.ts';
import { type Labels, shippedEntries } from '../entries.ts';
import { explain, explanationLines } from '../explanation.ts';
import { type Call, CommandError, textOption, UsageError } from '../host.ts';
import { at, type Manifest, ManifestError, parseManifest } from '../manifests/manifest.ts';
import { readSources } from '../manifests/sources.ts';
import { nodeAt } from '../manifests/tokens.ts';
import { findPods } from '../manifests/workloads.ts';
import { MESH_NAMESPACE, offlineSettings } from '../settings.ts';

/** `nodemesh explain`: see commands.ts. */
export async function run(call: Call): Promise<number> {
  const { host, positionals } = call;
  const file = textOption(call, 'file');
  const [name] = positionals;
  if ((file === undefined) === (name === undefined) || positionals.length > 1) {
    throw new UsageError('explain wants one pod or workload, as <namespace>/<pod> or <kind>/<name>, or --file');
  }
  // A cluster's client is loaded only where there is a cluster to ask.
  const lines =
    file === undefined
      ? await (await import('../cluster/live.ts')).explainLive(name ?? '', textOption(call, 'namespace'), host)
      : await explainFile(file, call);
  host.write(`${lines.join('\n')}\n`);
  return 0;
}

async function explainFile(path: string, call: Call): Promise<string[]> {
  const settings = await offlineSettings(call);
  const entries = await shippedEntries();
  const manifests = parseAll(await readSources([path], call.host));
  const known = namespacesIn(manifests);
  const lines = manifests.flatMap((manifest) =>
    findPods(manifest).flatMap(
      ({ pod, workload, document, path, namespace = textOption(call, 'namespace') ?? 'default' }) => {
        const tree = manifest.documents[document];
        const node = tree === undefined ? undefined : nodeAt(tree, path);
        const labels = known.get(namespace);
        const namespaceLabels = labels ?? { 'mesh-inject': 'enabled', 'kubernetes.io/metadata.name': namespace };
        const place = { namespace, namespaceEnabled: labelEnables(namespaceLabels), ownNamespace: MESH_NAMESPACE };
        const question = { pod, place, namespaceLabels, settings, entries, running: false, serviceHost: undefined };
        const assumed =
          labels === undefined ? ' (taken to be labelled mesh-inject=enabled: its manifest is not here)' : '';
        return [
          `${at(manifest.file, manifest.text, node?.range?.[0] ?? 0)}: ${workload} in namespace ${namespace}${assumed}`,
          ...explanationLines(explain(question)),
        ];
      },
    ),
  );
  if (lines.length === 0) throw new CommandError(`${path}: there is no pod in it, and no workload that makes pods`);
  return lines;
}

function parseAll(sources: readonly { readonly file: string; readonly text: string }[]): Manifest[] {
  try {
    return sources.map(({ file, text }) => parseManifest(file, text));
  } catch (error) {
    throw error instanceof ManifestError ? new CommandError(error.message) : error;
  }
}

/** The labels of the Namespaces among the manifests; API servers since 1.21 add the one of the name. */
function namespacesIn(manifests: readonly Manifest[]): Map<string, Labels> {
  const found = new Map<string, Labels>();
  for (const { value } of manifests.flatMap(({ documents }) => documents)) {
    const object = asRecord(value);
    const metadata = asRecord(object?.metadata);
    const name = asText(metadata?.name);
    if (object?.kind !== 'Namespace' || object.apiVersion !== 'v1' || name === undefined) continue;
    found.set(name, { ...(asRecord(metadata?.labels) as Labels | undefined), 'kubernetes.io/metadata.name': name });
  }
  return found;
}
