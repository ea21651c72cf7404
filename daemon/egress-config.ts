import { isIP } from 'node:net';
import { z } from 'zod';
import { isCidr } from './config-values.ts';
import type { EgressConfig } from './policy/egress-guard.ts';

const EGRESS_FORMS = 'give "allow", "deny", or a mapping with the keys default and allow';
const egressDefault = z.enum(['allow', 'deny'], { error: 'give "allow" or "deny"' });
const egressMapping = z.strictObject({
  default: egressDefault.default('deny'),
  allow: z
    .array(
      z.string().refine(isDestination, 'give a name such as api.example.com or *.example.com, an address, or a CIDR'),
    )
    .default([]),
  parentProxy: z
    .string()
    .refine((text) => parseHostPort(text) !== undefined, 'give host:port of the proxy, e.g. proxy.example.com:3128')
    .transform((text) => parseHostPort(text))
    .optional(),
});

export const egressSchema = z.union([egressDefault, egressMapping], { error: EGRESS_FORMS }).default('allow');

export function egressConfig(raw: z.output<typeof egressSchema>): EgressConfig {
  return typeof raw === 'string' ? { default: raw, allow: [] } : raw;
}

function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:http:\/\/)?(?:\[([0-9a-f:.]+)\]|([0-9a-z._-]+)):(\d{1,5})\/?$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

function isDestination(text: string): boolean {
  return isIP(text) !== 0 || isCidr(text) || /^(?:\*\.)?[0-9a-z_-]+(?:\.[0-9a-z_-]+)*$/i.test(text);
}
