import type { ServerAddress } from '../client/http1-client-connection.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';
import type { Hop } from './hop.ts';

/** A peer has stripped what its application must not say; its own `l5d-err` goes on to the caller. */
const KEEP_L5D: FieldFilter = { dropL5d: false };

/** Through the daemon on a pod's node, which is told which pod was picked (`mesh-endpoint`) and for which Service. */
export class GatewayHop implements Hop {
  readonly address: ServerAddress;
  readonly pool: Http1Pool;
  readonly fieldLines: string;
  readonly peer = true;
  readonly answerFilter = KEEP_L5D;
  outstanding = 0;

  constructor(
    gateway: ServerAddress,
    endpoint: Endpoint,
    of: { readonly namespace: string; readonly service: string },
    pool: Http1Pool,
  ) {
    this.address = gateway;
    this.pool = pool;
    this.fieldLines = `mesh-endpoint: ${endpointKey(endpoint)}\r\nmesh-service: ${of.service}.${of.namespace}\r\n`;
  }

  begin(): void {
    this.outstanding += 1;
  }

  end(): void {
    this.outstanding -= 1;
  }
}
