import type { Exchange } from '../http/exchange.ts';
import { FieldClass } from '../http/fields.ts';
import type { RequestHead } from '../http/message-head.ts';

/** Only these two methods count their hops (RFC 9110 §7.6.2); anywhere else the field means nothing and travels on. */
function countsHops(method: string): boolean {
  return method === 'TRACE' || method === 'OPTIONS';
}

function hopsLeft(request: RequestHead): number | undefined {
  const value = request.fields.value('max-forwards');
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

/**
 * Answers a TRACE or OPTIONS whose Max-Forwards has run out, as its last recipient must (RFC 9110 §7.6.2): TRACE with the
 * request itself (§9.3.8), without the fields that may hold secrets. Gives false, and does nothing, for any other request.
 */
export function answeredAsLastHop(exchange: Exchange): boolean {
  const { request } = exchange;
  if (!countsHops(request.method) || hopsLeft(request) !== 0) return false;
  const body = request.method === 'TRACE' ? Buffer.from(receivedHead(request), 'latin1') : Buffer.alloc(0);
  const fieldLines = request.method === 'TRACE' ? 'Content-Type: message/http\r\n' : '';
  exchange.respond({ status: 200, reason: 'OK', fieldLines, framing: { kind: 'length', length: body.length } });
  if (body.length > 0) exchange.writeBody(body);
  exchange.endBody([]);
  return true;
}

/** The line to send in place of a Max-Forwards that counts; undefined where there is none to change. */
export function decrementedMaxForwards(request: RequestHead): string | undefined {
  const left = countsHops(request.method) ? hopsLeft(request) : undefined;
  return left === undefined ? undefined : `Max-Forwards: ${left - 1}\r\n`;
}

function receivedHead(request: RequestHead): string {
  let text = `${request.method} ${request.target} HTTP/1.${request.minorVersion}\r\n`;
  const { list, classes } = request.fields;
  classes.forEach((fieldClass, i) => {
    const secret = fieldClass === FieldClass.protected || fieldClass === FieldClass.proxyAuthorization;
    if (!secret && fieldClass !== FieldClass.mesh) text += `${list[2 * i]}: ${list[2 * i + 1]}\r\n`;
  });
  return `${text}\r\n`;
}
