import { isIP } from 'node:net';
import { z } from 'zod';

/** Values that several keys of the daemon's config take. */

export const LOOPBACK = '127.0.0.1'; // linkerd's own default for every `ip`

export const required = (what: string) => z.string({ error: `required: ${what}` }).min(1, `required: ${what}`);

export const ip = z
  .string()
  .refine((text) => text === 'node' || isIP(text) !== 0, 'give an IP address, or "node" for the address in NODE_IP');
export const port = z
  .int({ error: 'give a port number, 0 to 65535' })
  .min(0, 'give a port number, 0 to 65535')
  .max(65_535, 'give a port number, 0 to 65535');

/** Such as 10.0.0.0/8. */
export function isCidr(text: string): boolean {
  const [address, prefix, ...rest] = text.split('/');
  const family = isIP(address ?? '');
  if (family === 0 || rest.length > 0) return false;
  return prefix !== undefined && /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}
