import { addressText } from '../client/connector.ts';
import type { UpstreamConnection } from '../client/http1-client-connection.ts';
import type { PoolWaiter } from '../client/http1-pool.ts';
import { RawConnection } from '../client/raw-connection.ts';
import { ProxyError } from '../http/proxy-error.ts';
import type { Hop } from './hop.ts';

/** A connection to a hop for a request of that method; `fresh`: a new one. Else `waits` or `full` as Http1Pool has them. */
export function connectionTo(
  hop: Hop,
  method: string,
  fresh: boolean,
  waiter: PoolWaiter,
): UpstreamConnection | 'waits' | 'full' {
  const { address, pool } = hop;
  if (method === 'CONNECT' && !hop.proxy) return new RawConnection(address);
  if (fresh) return pool.open(address);
  return address.limited === undefined ? pool.take(address) : pool.takeOrWait(address, waiter);
}

/** So many wait for one of the hop's connections that no more may. */
export function crowdedError({ address }: Hop): ProxyError {
  const limits = address.limited?.limits;
  const waiting = `${limits?.maxWaiters} requests wait for one`;
  return new ProxyError(
    'overloaded',
    `all ${limits?.maxSize} connections to ${addressText(address)} are in use, and ${waiting}`,
  );
}

/** No connection to a hop was had in time. `waiting`: for one of those that there are. */
export function bindingError({ address }: Hop, waiting: boolean, timeoutMs: number): ProxyError {
  const to = addressText(address);
  const what = waiting ? `none of the connections to ${to} was free` : `no connection to ${to} stood`;
  return new ProxyError('binding_timeout', `${what} within ${timeoutMs} ms`);
}
