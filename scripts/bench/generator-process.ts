/** Makes the load: carries out one Order at a time, and sends a Report of each. Ends with the process that started it. */
import type { Order, Report } from './generator.ts';
import { runLoad } from './load.ts';
import { download, hold, openIdle, upload } from './memory-load.ts';
import { openSlowClients } from './slow-clients.ts';

const OPEN = { openIdle, hold, openSlow: openSlowClients } as const;

async function carryOut(order: Order): Promise<Report> {
  if (order.kind === 'load') return { result: await runLoad(order.port, order.case, order.seconds, order.sender) };
  if (order.kind === 'download') await download(order.port, order.bytes, order.framing);
  else if (order.kind === 'upload') await upload(order.port, order.bytes, order.framing);
  else await OPEN[order.kind](order.port, order.count);
  return {};
}

process.on('message', (order: Order) => {
  carryOut(order)
    .catch((error: unknown): Report => ({ error: String(error) }))
    .then((report) => process.send?.(report));
});
process.on('disconnect', () => process.exit());
