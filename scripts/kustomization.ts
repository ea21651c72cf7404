import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';

const HEADER = `# The whole of nodemesh in one file: kubectl apply -f nodemesh.yaml
# Made from kustomization.yaml by \`npm run render\`; change the files that it lists, and never this one.
`;

/** The part of a kustomization that manifests/ uses. */
interface Kustomization {
  readonly apiVersion: string;
  readonly kind: string;
  readonly resources: readonly string[];
  readonly configMapGenerator: readonly {
    readonly name: string;
    readonly namespace: string;
    readonly files: readonly string[];
  }[];
  readonly generatorOptions: { readonly disableNameSuffixHash: true };
}

const KNOWN_KEYS = ['apiVersion', 'kind', 'resources', 'configMapGenerator', 'generatorOptions'];

/**
 * Renders the kustomization in `directory` to one YAML text: the listed files as they stand, and the generated ConfigMaps
 * behind the first of them (which holds the namespace), so that no pod starts before its config is there.
 * Every file must name its objects' namespace itself. Throws an Error for a key that this does not know, so that the
 * result can never silently differ from kustomize's own.
 */
export async function renderKustomization(directory: string): Promise<string> {
  const kustomization: Kustomization = parse(await readFile(join(directory, 'kustomization.yaml'), 'utf8'));
  const unknown = Object.keys(kustomization).filter((key) => !KNOWN_KEYS.includes(key));
  if (unknown.length > 0) {
    throw new Error(`${directory}kustomization.yaml: ${unknown.join(', ')}: not known to scripts/kustomization.ts`);
  }
  const [first = '', ...others] = await Promise.all(
    kustomization.resources.map((file) => readFile(join(directory, file), 'utf8')),
  );
  const configMaps = await Promise.all(
    kustomization.configMapGenerator.map((generator) => configMap(directory, generator)),
  );
  return HEADER + [first, ...configMaps, ...others].map((text) => `---\n${text.trimEnd()}\n`).join('');
}

async function configMap(directory: string, generator: Kustomization['configMapGenerator'][number]): Promise<string> {
  const entries = generator.files.map(async (entry): Promise<[string, string]> => {
    const [key = '', file = ''] = entry.split('=');
    return [key, await readFile(join(directory, file), 'utf8')];
  });
  const data = Object.fromEntries(await Promise.all(entries));
  return stringify(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: generator.name, namespace: generator.namespace }, data },
    { lineWidth: 0, blockQuote: 'literal' },
  );
}
