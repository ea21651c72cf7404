import type { Resolution } from '../../lib/explain.ts';
import type { HttpKubernetesApi } from '../../lib/kubernetes/client.ts';
import { trimPod } from '../../lib/kubernetes/pod.ts';
import { connect, getObject } from '../cluster/connection.ts';
import { MeshPods } from '../cluster/daemons.ts';
import { type Call, CommandError, messageOf, textOption, UsageError } from '../host.ts';
import { resolutionLines } from '../telemetry/resolution-text.ts';
import { paintOf } from '../view/colours.ts';
import { jsonText } from '../view/text.ts';

/** `nodemesh resolve`: see commands.ts. Exits with 2 where the request would fail. */
export async function run(call: Call): Promise<number> {
  const { host, positionals } = call;
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0)
    throw new UsageError('resolve wants one name, as <host> or <host>:<port>');
  const from = textOption(call, 'from');
  if (from !== undefined && !/^[^/]+\/[^/]+$/.test(from)) {
    throw new UsageError(`--from is a pod, as <namespace>/<pod>, not "${from}"`);
  }
  const api = connect(host);
  const query = new URLSearchParams({ host: name, ...(from === undefined ? {} : { from }) });
  for (const option of ['method', 'path']) {
    const value = textOption(call, option);
    if (value !== undefined) query.set(option, value);
  }
  const node = from === undefined ? undefined : await nodeOf(api, from);
  const daemons = await MeshPods.find(api, 'daemon', host.now);
  const path = `/resolve?${query}`;
  const answer = (await (node === undefined ? daemons.askAny(path) : daemons.askOf(node, path))) as Resolution;
  if (!Array.isArray(answer?.steps) || !Array.isArray(answer.endpoints)) {
    throw new CommandError('its /resolve is of another version; update the mesh');
  }
  if (textOption(call, 'output') === 'json') host.write(`${jsonText(answer, 2)}\n`);
  else host.write(`${resolutionLines(answer, host.terminal?.columns, paintOf(host)).join('\n')}\n`);
  return answer.outcome.ok ? 0 : 2;
}

/** The node of a pod, `namespace/pod`. Throws CommandError. */
async function nodeOf(api: HttpKubernetesApi, from: string): Promise<string> {
  const [namespace = '', name = ''] = from.split('/');
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
  const pod = await getObject(api, path).catch((error: unknown) => {
    throw new CommandError(`on which node pod ${from} runs could not be read: ${messageOf(error)}`);
  });
  if (pod === undefined) throw new CommandError(`there is no pod ${from}`);
  const { nodeName } = trimPod(pod);
  if (nodeName === undefined) throw new CommandError(`pod ${from} has no node yet`);
  return nodeName;
}
