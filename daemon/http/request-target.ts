import { isIPv4, isIPv6 } from 'node:net';
import { ProxyError } from './proxy-error.ts';

/** Where a request wants to go: a lower-case host without brackets or final dot, and the port if one was written. */
export interface Authority {
  readonly host: string;
  readonly port: number | undefined;
  readonly isAddress: boolean;
}

/** A request target split for a proxy: who is asked, and what is asked of them (origin-form or `*`). */
export interface RequestTarget {
  /** As written by the client: the absolute-form's authority, else Host. It becomes the forwarded Host field. */
  readonly authority: string;
  /** Origin-form, or `*` for OPTIONS. */
  readonly path: string;
}

const REG_NAME = /^[0-9A-Za-z_~-]+(?:\.[0-9A-Za-z_~-]+)*\.?$/;
const SCHEME = /^([A-Za-z][0-9A-Za-z+.-]*):\/\//;

/**
 * Splits a request target (RFC 9112 §3.2). The absolute-form's authority wins over Host (§3.2.2); its path is kept byte
 * for byte. Throws ProxyError bad_request or https_target.
 */
export function splitRequestTarget(method: string, target: string, host: string | undefined): RequestTarget {
  if (method === 'CONNECT') {
    if (host !== undefined && host !== '') parseAuthority(host);
    return { authority: connectAuthority(target), path: target };
  }
  if (target.startsWith('/')) return { authority: host ?? '', path: target };
  if (target === '*') {
    if (method !== 'OPTIONS') throw new ProxyError('bad_request', 'the target "*" is for OPTIONS alone');
    return { authority: host ?? '', path: '*' };
  }
  if (target.startsWith('http://')) return splitAbsolute(method, target.slice('http://'.length), host);
  const scheme = SCHEME.exec(target);
  if (scheme === null) throw new ProxyError('bad_request', 'the request target is neither a path nor an http:// URI');
  if (scheme[1]?.toLowerCase() === 'https')
    throw new ProxyError('https_target', 'an https:// target on a plain connection');
  if (scheme[1]?.toLowerCase() !== 'http') throw new ProxyError('bad_request', `the scheme ${scheme[1]}: is not http`);
  return splitAbsolute(method, target.slice(scheme[0].length), host);
}

/** `rest`: of an absolute-form behind its scheme. */
function splitAbsolute(method: string, rest: string, host: string | undefined): RequestTarget {
  const slash = rest.indexOf('/');
  const query = rest.indexOf('?');
  const end = query !== -1 && (slash === -1 || query < slash) ? query : slash;
  const authority = end === -1 ? rest : rest.slice(0, end);
  // The same text is read as an authority all the same, by whoever resolves it.
  if (host !== undefined && host !== '' && host !== authority) parseAuthority(host);
  if (end === -1) return { authority, path: method === 'OPTIONS' ? '*' : '/' };
  return { authority, path: end === slash ? rest.slice(end) : `/${rest.slice(end)}` };
}

/** CONNECT has an authority-form target with a port, always (RFC 9112 §3.2.3). */
function connectAuthority(target: string): string {
  if (parseAuthority(target).port === undefined) {
    throw new ProxyError('bad_authority', `the target of CONNECT, "${target.slice(0, 128)}", has no port`);
  }
  return target;
}

/**
 * Reads `host[:port]` (RFC 3986 §3.2, without userinfo, which RFC 9110 §4.2.4 tells recipients to treat as an error).
 * Throws ProxyError bad_authority.
 */
export function parseAuthority(text: string): Authority {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text);
  if (bracketed !== null) {
    const address = bracketed[1] ?? '';
    if (!isIPv6(address) || address.includes('%')) throw badAuthority(text);
    return { host: canonicalAddress(address), port: parsePort(bracketed[2], text), isAddress: true };
  }
  const colon = text.indexOf(':');
  const host = colon === -1 ? text : text.slice(0, colon);
  if (!REG_NAME.test(host) || host.length > 254) throw badAuthority(text);
  const port = parsePort(colon === -1 ? undefined : text.slice(colon + 1), text);
  if (isIPv4(host)) return { host, port, isAddress: true };
  const lower = host.toLowerCase();
  return { host: lower.endsWith('.') ? lower.slice(0, -1) : lower, port, isAddress: false };
}

/**
 * The one spelling of an IP address that others are compared with: IPv6 as in RFC 5952, and an IPv4 address that is mapped into
 * IPv6 (RFC 4291 §2.5.5.2) as IPv4, since that is what a connection to it reaches. Anything else is given back as it is.
 */
export function canonicalAddress(address: string): string {
  if (!isIPv6(address) || address.includes('%')) return address;
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  return mapped === null ? short : dotted(mapped[1] as string, mapped[2] as string);
}

/** Two groups of an IPv6 address as the IPv4 address that they hold. */
export function dotted(high: string, low: string): string {
  const value = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return value.flatMap((pair) => [pair >> 8, pair & 0xff]).join('.');
}

function parsePort(text: string | undefined, authority: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,5}$/.test(text)) throw badAuthority(authority);
  const port = Number(text);
  if (port < 1 || port > 65_535) throw badAuthority(authority);
  return port;
}

function badAuthority(text: string): ProxyError {
  return new ProxyError('bad_authority', `"${text.slice(0, 128)}" is not a valid host[:port]`);
}
