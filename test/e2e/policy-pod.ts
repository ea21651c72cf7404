/** Runs inside a pod: answers on the ports that its arguments name with what POD_KEY says. */
import { createServer } from 'node:http';

for (const port of process.argv.slice(1)) {
  createServer((_request, response) => response.end(process.env.POD_KEY)).listen(Number(port));
}
