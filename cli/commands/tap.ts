import { count } from '../checks/finding.ts';
import { connect } from '../cluster/connection.ts';
import { type MeshPod, MeshPods, UnreachableError } from '../cluster/daemons.ts';
import { type Call, type Host, messageOf, textOption, UsageError } from '../host.ts';
import { TapLines, type TapRecord } from '../telemetry/tap-lines.ts';
import { paintOf } from '../view/colours.ts';
import { clean, jsonText } from '../view/text.ts';

const AGAIN_MS = 2_000;
/** Of hundreds of nodes that refuse the same, the first few tell enough. */
const NAMED = 5;
/** Kinds as people write them → what the daemon filters by. Pods' makers are one: workloads. */
const KINDS: Readonly<Record<string, string>> = {
  service: 'service',
  svc: 'service',
  pod: 'pod',
  po: 'pod',
  workload: 'workload',
  deployment: 'workload',
  deploy: 'workload',
  statefulset: 'workload',
  sts: 'workload',
  daemonset: 'workload',
  ds: 'workload',
  job: 'workload',
};

/** `nodemesh tap`: see commands.ts. Exits with 1 where no node could be listened to, 2 where some could not. */
export async function run(call: Call): Promise<number> {
  const { host } = call;
  const path = `/tap?${queryOf(call)}`;
  const daemons = await MeshPods.find(connect(host), 'daemon', host.now);
  const stop = host.stopped();
  const show = shower(call);
  let dropped = 0;
  let failed = 0;
  const listen = async (pod: MeshPod): Promise<void> => {
    try {
      await follow(host, daemons, pod, path, stop, ({ event, data }) => {
        if (event === 'request') show(data);
        else if (event === 'dropped') dropped += droppedIn(data);
      });
    } catch (error) {
      failed += 1;
      if (failed <= NAMED) host.complain(`${clean(pod.node)}: ${messageOf(error)}\n`);
    }
  };
  // Without a token nobody is asked, and that is told once.
  await daemons.ready();
  await Promise.all(daemons.pods.map(listen));
  if (failed > NAMED) host.complain(`and ${count(failed - NAMED, 'node')} more could not be heard\n`);
  if (dropped > 0)
    host.complain(`${count(dropped, 'request')} more went by than were told; --max and filters choose\n`);
  if (failed === 0) return 0;
  return failed === daemons.pods.length ? 1 : 2;
}

function queryOf(call: Call): URLSearchParams {
  const query = new URLSearchParams();
  const [target, ...others] = call.positionals;
  if (others.length > 0) throw new UsageError('tap is of one <kind>/<name>, or of everything');
  const set = (name: string, value: string | undefined) => {
    if (value !== undefined) query.set(name, value);
  };
  const [service, ofNamespace] = (textOption(call, 'to') ?? '').split('/').reverse();
  set('namespace', textOption(call, 'namespace') ?? ofNamespace);
  set('service', service === '' ? undefined : service);
  if (target !== undefined) {
    const [kind = '', name = '', more] = target.split('/');
    const by = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
    if (by === undefined || name === '' || more !== undefined) {
      throw new UsageError(`name it as service/<name>, workload/<name> or pod/<name>, not "${target}"`);
    }
    if (query.has(by)) throw new UsageError('tap takes one Service: by --to or by service/<name>');
    query.set(by, name);
  }
  // A request is seen twice, where it leaves and where it arrives: once is enough unless a pod is asked about.
  if (!query.has('pod')) query.set('direction', 'outgoing');
  for (const name of ['method', 'path', 'status', 'max']) set(name, textOption(call, name));
  if (call.options.headers === true) query.set('headers', 'true');
  const max = query.get('max');
  if (max !== null && (!/^\d{1,4}$/.test(max) || Number(max) < 1 || Number(max) > 1_000)) {
    throw new UsageError(`--max is 1 to 1000, not "${max}"`);
  }
  return query;
}

/** Listens to a node until it is enough; anew where the stream breaks off, as when its daemon is replaced. Throws UnreachableError. */
async function follow(
  host: Host,
  daemons: MeshPods,
  pod: MeshPod,
  path: string,
  stop: AbortSignal,
  take: (event: { readonly event: string; readonly data: string }) => void,
): Promise<void> {
  let heard = false;
  for (let current = pod; !stop.aborted; ) {
    try {
      for await (const event of daemons.events(current, path, stop)) {
        heard = true;
        take(event);
      }
    } catch (error) {
      if (!(error instanceof UnreachableError) || !error.passing || !heard) throw error;
      heard = false;
      host.complain(`${clean(pod.node)}: ${error.message}; it is asked again\n`);
      await host.pause(AGAIN_MS, stop);
      current = (await daemons.again()).of(pod.node);
    }
  }
}

function shower(call: Call): (data: string) => void {
  const { host } = call;
  const format = textOption(call, 'output') ?? 'table';
  const lines = new TapLines(format === 'wide', paintOf(host));
  return (data) => {
    let record: TapRecord;
    try {
      record = JSON.parse(data) as TapRecord;
    } catch {
      return; // cut off in the middle, by a proxy between
    }
    if (typeof record !== 'object' || record === null) return;
    const width = format === 'table' ? host.terminal?.columns : undefined;
    host.write(format === 'json' ? `${jsonText(record)}\n` : `${lines.add(record, width).join('\n')}\n`);
  };
}

function droppedIn(data: string): number {
  try {
    return Number((JSON.parse(data) as { count?: number } | null)?.count ?? 0) || 0;
  } catch {
    return 0;
  }
}
