/**
 * `npm run render`: writes manifests/nodemesh.yaml, which is what `kubectl kustomize manifests/` gives, in one file, for
 * `kubectl apply -f` and for reading: resources in their own words, with their comments.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { renderKustomization } from './kustomization.ts';

const MANIFESTS = fileURLToPath(new URL('../manifests/', import.meta.url));

await writeFile(`${MANIFESTS}nodemesh.yaml`, await renderKustomization(MANIFESTS));
