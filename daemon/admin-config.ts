import { z } from 'zod';
import { type AccessModes, accessSchema } from '../lib/admin-access.ts';
import { ip, LOOPBACK, port } from './config-values.ts';

const ADMIN_PORT = 9990; // DESIGN §3
const SHUTDOWN_GRACE_MS = 10_000; // linkerd's default

export const adminSchema = z
  .strictObject({
    ip: ip.default(LOOPBACK),
    port: port.default(ADMIN_PORT),
    shutdownGraceMs: z.int().min(0).default(SHUTDOWN_GRACE_MS),
    access: accessSchema,
  })
  .prefault({});

export interface AdminConfig {
  readonly ip: string;
  readonly port: number;
  /** For requests under way after SIGTERM, ms. */
  readonly shutdownGraceMs: number;
  /** Who may read, where `ip` is not loopback. */
  readonly access: AccessModes;
}
