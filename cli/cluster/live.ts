import { type LabelSelector, unmetRequirement } from '../../lib/kubernetes/label-selector.ts';
import type { KubernetesApi, KubernetesObject } from '../../lib/kubernetes/types.ts';
import { STATUS } from '../../webhook/annotations.ts';
import { count, few } from '../checks/finding.ts';
import { explain, explanationLines } from '../explanation.ts';
import { CommandError, type Host, messageOf, UsageError } from '../host.ts';
import { parseTarget, type Target } from '../live-target.ts';
import { podsOf } from '../manifests/workloads.ts';
import { stalenessOf } from '../staleness.ts';
import { connect, getObject } from './connection.ts';
import { listAll } from './list-all.ts';
import { type LivePlace, readLivePlace } from './live-place.ts';
import { policyLine } from './pod-policies.ts';

const UNKNOWN_ADDRESS = 'How pods are to address their proxy could not be learned from the webhook; host IP is assumed';

/**
 * Explains what runs in a cluster (live-target.ts says how it is named): of a pod the environment that it has, the policies that select it, and what would be
 * decided about one like it now; of a workload what its next pod gets, and which of its pods are not like that. Gives the lines
 * to show. Throws UsageError for another name, CommandError where it cannot be read.
 */
export async function explainLive(which: string, namespace: string | undefined, host: Host): Promise<string[]> {
  const target = parseTarget(which, namespace);
  const api = connect(host);
  try {
    const object = await getObject(api, target.path);
    if (object === undefined) {
      throw new CommandError(`there is no ${target.what} ${target.namespace}/${target.name}`);
    }
    const live = await readLivePlace(api, target.namespace);
    return target.what === 'pod'
      ? explainPod(object, live, await policyLine(api, object))
      : await explainWorkload(api, target, object, live);
  } catch (error) {
    throw error instanceof UsageError ? error : new CommandError(messageOf(error));
  }
}

function explainPod(pod: KubernetesObject, live: LivePlace, policies: string): string[] {
  const { place, settings, addressKnown } = live;
  const explanation = explain({ ...live, pod, running: true });
  const stale = explanation.verdict === 'inject' ? stalenessOf(pod, place, settings) : undefined;
  const { spec } = pod as KubernetesObject & { spec?: { nodeName?: string } };
  const injected = pod.metadata.annotations?.[STATUS] !== undefined;
  return [
    `Pod ${place.namespace}/${pod.metadata.name} on node ${spec?.nodeName ?? '(none yet)'}, ${injected ? 'injected' : 'not injected'} when it was created`,
    ...(stale === undefined ? [] : [`It is out of date: ${stale.text}; restart it (nodemesh rollout --stale)`]),
    ...(addressKnown ? [] : [UNKNOWN_ADDRESS]),
    policies,
    ...explanationLines(explanation),
  ];
}

async function explainWorkload(
  api: KubernetesApi,
  { what, namespace, name }: Target,
  object: KubernetesObject,
  live: LivePlace,
): Promise<string[]> {
  const { pod } = podsOf(object)[0] ?? {};
  if (pod === undefined) throw new CommandError(`${what} ${namespace}/${name} has no template of a pod`);
  const explanation = explain({ ...live, pod, running: false });
  return [
    `The next pod of ${what} ${namespace}/${name}:`,
    ...(await runningPods(api, namespace, object, live, explanation.verdict === 'inject')),
    ...(live.addressKnown ? [] : [UNKNOWN_ADDRESS]),
    ...explanationLines(explanation),
  ];
}

/** One line on the pods that a workload has, by its selector; none where it has no selector, as a CronJob. */
async function runningPods(
  api: KubernetesApi,
  namespace: string,
  { spec }: KubernetesObject & { readonly spec?: { readonly selector?: LabelSelector } },
  { place, settings }: LivePlace,
  isInjected: boolean,
): Promise<string[]> {
  const selector = spec?.selector;
  if (selector === undefined) return [];
  const pods = await listAll(api, `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`, (one) => {
    if (unmetRequirement(selector, one.metadata.labels) !== undefined) return undefined;
    return { name: one.metadata.name, stale: isInjected ? stalenessOf(one, place, settings) : undefined };
  });
  const stale = pods.filter((one) => one.stale !== undefined);
  if (stale.length === 0) return [`  it has ${count(pods.length, 'pod')}, none out of date`];
  const names = few(stale.map((one) => one.name));
  return [
    `  it has ${count(pods.length, 'pod')}, ${stale.length} out of date: ${names}; ${stale[0]?.stale?.text}; restart it (nodemesh rollout --stale)`,
  ];
}
