import type { KubernetesApi } from '../../lib/kubernetes/types.ts';
import { count } from '../checks/finding.ts';
import { connect } from '../cluster/connection.ts';
import { readLiveSettings } from '../cluster/live-settings.ts';
import { meshedPods } from '../cluster/pods.ts';
import { probeWebhook } from '../cluster/probe.ts';
import { restart, type StaleWorkload, staleWorkloads } from '../cluster/workloads.ts';
import { type Call, CommandError, type Host, messageOf, textOption, UsageError } from '../host.ts';

/** `nodemesh rollout`: see commands.ts. Exits with 1 where a workload could not be restarted. */
export async function run(call: Call): Promise<number> {
  const { host, positionals, options } = call;
  if (positionals.length > 0) throw new UsageError(`rollout takes no argument "${positionals[0]}"`);
  if (options.stale !== true)
    throw new UsageError('rollout wants --stale: it restarts what has pods that are out of date');
  const api = connect(host);
  const workloads = await findStale(api, textOption(call, 'namespace'));
  if (workloads.length === 0) {
    host.write('every pod of a labelled namespace is as it would be made today\n');
    return 0;
  }
  if (options.yes === true) return restartAll(api, workloads, host);
  for (const workload of workloads) host.write(`${lineOf(workload)}${by(workload)}\n`);
  if (workloads.some(({ byHand }) => byHand === undefined)) host.complain('nothing was restarted; --yes does it\n');
  return 0;
}

async function findStale(api: KubernetesApi, namespace: string | undefined): Promise<StaleWorkload[]> {
  try {
    const { settings, addressKnown } = await readLiveSettings(api);
    if (!addressKnown) throw new Error('the webhook did not tell how pods address their proxy; see nodemesh check');
    const pods = await meshedPods(api, settings, namespace);
    return await staleWorkloads(
      api,
      pods.filter(({ stale }) => stale !== undefined),
    );
  } catch (error) {
    throw new CommandError(messageOf(error));
  }
}

async function restartAll(api: KubernetesApi, workloads: readonly StaleWorkload[], host: Host): Promise<number> {
  const { injected } = await probeWebhook(api).catch((error: unknown) => {
    throw new CommandError(
      `nothing was restarted: whether the webhook injects could not be tried: ${messageOf(error)}`,
    );
  });
  if (!injected)
    throw new CommandError('nothing was restarted: the webhook does not inject new pods; see nodemesh check');
  let status = 0;
  for (const workload of workloads) {
    if (workload.byHand !== undefined) {
      host.write(`${lineOf(workload)}${by(workload)}\n`);
      continue;
    }
    try {
      await restart(api, workload, host.now());
      host.write(`${lineOf(workload)}: restarted\n`);
    } catch (error) {
      status = 1;
      host.complain(`${lineOf(workload)}: not restarted: ${messageOf(error)}\n`);
    }
  }
  return status;
}

function lineOf({ namespace, owner, pods }: StaleWorkload): string {
  return `${namespace} ${owner.kind}/${owner.name}: ${count(pods.length, 'stale pod')}, ${pods[0]?.stale?.text}`;
}

function by({ byHand }: StaleWorkload): string {
  return byHand === undefined ? '' : `; not restarted: ${byHand}`;
}
