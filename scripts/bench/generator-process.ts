/** Makes the load: carries out one Order at a time, and sends a Report of each. Ends with the process that started it. */
import type { Order, Report } from './generator.ts';
import { runLoad } from './load.ts';
import { download, openIdle, upload } from './memory-load.ts';

async function carryOut(order: Order): Promise<Report> {
  if (order.kind === 'load') return { result: await runLoad(order.port, order.case, order.seconds) };
  if (order.kind === 'openIdle') await openIdle(order.port, order.count);
  else await (order.kind === 'download' ? download : upload)(order.port, order.bytes);
  return {};
}

process.on('message', (order: Order) => {
  carryOut(order)
    .catch((error: unknown): Report => ({ error: String(error) }))
    .then((report) => process.send?.(report));
});
process.on('disconnect', () => process.exit());
