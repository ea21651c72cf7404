import type { Call } from '../host.ts';
import { textOption } from '../host.ts';
import { injectManifest, type PodReport } from '../manifests/rewrite.ts';
import { rewriteAll } from '../manifests/rewrite-all.ts';
import { MESH_NAMESPACE, offlineSettings } from '../settings.ts';

/** What asked for injection; here the caller does. */
const ASKED = new Set(['namespace_enabled', 'namespace_unknown', 'pod_enabled']);
/** What the manifest itself asks for, or has already. */
const AS_WISHED = new Set(['pod_disabled', 'container_skipped', 'already_injected']);

/** `nodemesh inject`: see commands.ts. */
export async function run(call: Call): Promise<number> {
  const settings = await offlineSettings(call);
  const namespace = textOption(call, 'namespace') ?? 'default';
  const options = { settings, namespace, ownNamespace: MESH_NAMESPACE };
  return rewriteAll(call, {
    rewrite: (file, text) => injectManifest(file, text, options),
    describe,
    isRefused: (report) => {
      const held = heldBack(report);
      return !held.some(({ id }) => id === 'pod_disabled') && held.some(({ id }) => !AS_WISHED.has(id));
    },
  });
}

function heldBack({ reasons }: PodReport): PodReport['reasons'] {
  return reasons.filter(({ id }) => !ASKED.has(id));
}

function describe(report: PodReport): string[] {
  const { containers, warnings } = report;
  const held = heldBack(report).map(({ id, text }) => `${text} (${id})`);
  return [
    containers.length > 0 ? `injected: ${containers.join(', ')}` : `not injected: ${held.join('; ')}`,
    ...(containers.length > 0 ? held.map((text) => `but not all: ${text}`) : []),
    ...warnings.map((text) => `warning: ${text}`),
  ];
}
