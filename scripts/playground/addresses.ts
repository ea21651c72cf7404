import { createServer } from 'node:net';

/** Linux routes all of 127/8 to loopback; each playground takes one /16 of it, the first that nobody listens on. */
const FIRST_OCTET = 77;
const LAST_OCTET = 86;
const API_PORT = 6443;
/** What the daemons listen on, on their nodes' addresses (DESIGN §3). */
const NODE_PORTS = [4140, 4141, 9990];
const FIRST_POD = 10;
const LAST_POD = 250;
/** Enough for the example and a few more, where every address has to be made by hand. */
const LAST_POD_BY_HAND = 19;

/** Where everything of one playground is. */
export interface AddressPlan {
  readonly api: { readonly ip: string; readonly port: number };
  readonly nodes: readonly NodeAddresses[];
}

export interface NodeAddresses {
  readonly name: string;
  readonly ip: string;
  /** Addresses for the pods of this node, in the order in which they are given out. */
  readonly pods: readonly string[];
}

/** Tries to listen on `ip`:`port` for a moment; gives undefined where that works, else the system's code (EADDRINUSE, …). */
export type BindTest = (ip: string, port: number) => Promise<string | undefined>;

/**
 * Finds addresses for the two nodes, their pods and the API server. Throws an Error that says what to do where this
 * machine has no other loopback addresses than 127.0.0.1 (macOS), and where every range is taken.
 */
export async function planAddresses(bindTest: BindTest = tryToListen): Promise<AddressPlan> {
  const busy: string[] = [];
  for (let octet = FIRST_OCTET; octet <= LAST_OCTET; octet += 1) {
    const plan = planFor(octet, LAST_POD);
    const far = await bindTest(`127.${octet}.1.${LAST_POD}`, 0);
    if (far === 'EADDRNOTAVAIL') return planByHand(octet, bindTest);
    const taken = await firstTaken(plan, bindTest);
    if (taken === undefined) return plan;
    busy.push(taken);
  }
  throw new Error(
    `No free loopback addresses for the playground:\n  ${busy.join('\n  ')}\n` +
      'Stop what listens there (another playground? something on 0.0.0.0:4140?): ss -ltnp | grep -E ":(4140|4141|9990|6443) "',
  );
}

/** The addresses of the playground in 127.`octet`/16. */
function planFor(octet: number, lastPod: number): AddressPlan {
  const prefix = `127.${octet}`;
  const pods = (node: number) =>
    Array.from({ length: lastPod - FIRST_POD + 1 }, (_, i) => `${prefix}.${node}.${FIRST_POD + i}`);
  return {
    api: { ip: `${prefix}.0.1`, port: API_PORT },
    nodes: [1, 2].map((n) => ({ name: `node-${n}`, ip: `${prefix}.${n}.1`, pods: pods(n) })),
  };
}

/** For systems where each loopback address is an alias that somebody made: a short plan, and the commands for what is missing. */
async function planByHand(octet: number, bindTest: BindTest): Promise<AddressPlan> {
  const plan = planFor(octet, LAST_POD_BY_HAND);
  const wanted = [plan.api.ip, ...plan.nodes.flatMap((node) => [node.ip, ...node.pods])];
  const missing: string[] = [];
  for (const ip of wanted) if ((await bindTest(ip, 0)) === 'EADDRNOTAVAIL') missing.push(ip);
  if (missing.length > 0) {
    throw new Error(
      'The playground gives each node and pod its own loopback address, and this machine has only some of them.\n' +
        'Add them once (they last until the next restart), then run npm start again:\n\n' +
        `${missing.map((ip) => `  sudo ifconfig lo0 alias ${ip} up`).join('\n')}\n\n` +
        `To take them away: for each of them, sudo ifconfig lo0 -alias ${missing[0]}`,
    );
  }
  const taken = await firstTaken(plan, bindTest);
  if (taken !== undefined) throw new Error(`${taken}. Stop what listens there (another playground?) and try again.`);
  return plan;
}

async function firstTaken(plan: AddressPlan, bindTest: BindTest): Promise<string | undefined> {
  const listeners: (readonly [string, number])[] = [
    [plan.api.ip, plan.api.port],
    ...plan.nodes.flatMap(({ ip }) => NODE_PORTS.map((port) => [ip, port] as const)),
  ];
  for (const [ip, port] of listeners) {
    const code = await bindTest(ip, port);
    if (code !== undefined) return `${ip}:${port} cannot be listened on (${code})`;
  }
  return undefined;
}

function tryToListen(ip: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host: ip, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
