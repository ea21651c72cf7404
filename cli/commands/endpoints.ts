import type { EndpointsView } from '../../lib/explain.ts';
import { connect } from '../cluster/connection.ts';
import { MeshPods } from '../cluster/daemons.ts';
import { type Call, CommandError, textOption, UsageError } from '../host.ts';
import { endpointLines } from '../telemetry/endpoints-table.ts';
import { paintOf } from '../view/colours.ts';
import { jsonText } from '../view/text.ts';

/** `nodemesh endpoints`: see commands.ts. Exits with 1 where there is no such Service. */
export async function run(call: Call): Promise<number> {
  const { host, positionals } = call;
  const [which, ...others] = positionals;
  const service = which === undefined ? undefined : serviceOf(which, textOption(call, 'namespace'));
  if (others.length > 0) throw new UsageError('endpoints is of one Service, <namespace>/<service>, or of all');
  const daemons = await MeshPods.find(connect(host), 'daemon', host.now);
  const node = textOption(call, 'node');
  const path = service === undefined ? '/endpoints' : `/endpoints?service=${encodeURIComponent(service)}`;
  const answer = await (node === undefined ? daemons.askAny(path) : daemons.askOf(node, path));
  const view = answer as EndpointsView;
  if (!Array.isArray(view?.services)) throw new CommandError('its /endpoints are of another version; update the mesh');
  if (service !== undefined && view.services.length === 0) {
    throw new CommandError(
      `node ${view.node} knows no Service ${service}; kubectl get services -A shows what there is`,
    );
  }
  const width = textOption(call, 'output') === 'wide' ? undefined : host.terminal?.columns;
  if (textOption(call, 'output') === 'json') host.write(`${jsonText(view, 2)}\n`);
  else host.write(`${endpointLines(view, width, paintOf(host)).join('\n')}\n`);
  return 0;
}

function serviceOf(which: string, namespace: string | undefined): string {
  const parts = which.replace(/^(?:svc|service)\//, '').split('/');
  if (parts.length === 1 && parts[0] !== '') return `${namespace ?? 'default'}/${parts[0]}`;
  if (parts.length === 2 && !parts.includes('')) return parts.join('/');
  throw new UsageError(`name a Service as <namespace>/<service>, not "${which}"`);
}
