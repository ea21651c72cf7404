import { z } from 'zod';
import type { ConfigProblem } from '../lib/config-file.ts';

/** linkerd's file form of TLS: `routers[].client.tls` and `routers[].servers[].tls`. */

const path = (what: string) => z.string({ error: `required: ${what}` }).min(1, `required: ${what}`);

const clientAuth = z.strictObject({
  certPath: path("the file with this side's certificate, PEM"),
  keyPath: path("the file with the certificate's key, PEM (PKCS #8)"),
  intermediateCertsPath: z.string().min(1).optional(),
});

export const clientTlsSchema = z
  .strictObject({
    enabled: z.boolean().default(true),
    disableValidation: z.boolean().default(false),
    commonName: z
      .string()
      .min(1)
      .refine((name) => !name.includes('{'), 'give one name; captures of a prefix are not filled in')
      .optional(),
    trustCerts: z.array(z.string().min(1)).optional(),
    trustCertsBundle: z.string().min(1).optional(),
    clientAuth: clientAuth.optional(),
  })
  .refine(({ commonName, disableValidation }) => disableValidation || commonName !== undefined, {
    path: ['commonName'],
    error: "required: the name in the other daemons' certificate; or disableValidation: true to believe anyone",
  })
  .refine(({ trustCerts, trustCertsBundle }) => trustCerts === undefined || trustCertsBundle === undefined, {
    path: ['trustCerts'],
    error: 'give either trustCerts or trustCertsBundle',
  })
  .refine(({ disableValidation, clientAuth }) => !disableValidation || clientAuth === undefined, {
    path: ['clientAuth'],
    error: 'does not go with disableValidation: it would prove who we are to anyone',
  });

export const serverTlsSchema = z
  .strictObject({
    enabled: z.boolean().default(true),
    certPath: path('the file with the certificate, PEM'),
    keyPath: path("the file with the certificate's key, PEM (PKCS #8)"),
    intermediateCertsPath: z.string().min(1).optional(),
    caCertPath: z.string().min(1).optional(),
    requireClientAuth: z.boolean().default(false),
  })
  .refine(({ caCertPath, requireClientAuth }) => !requireClientAuth || caCertPath !== undefined, {
    path: ['caCertPath'],
    error: 'required with requireClientAuth: the file with the CAs of those who may connect, PEM',
  });

/** Files of PEM that one side proves who it is with, and by which it believes the other. */
export interface CredentialFiles {
  readonly certPath: string | undefined;
  readonly keyPath: string | undefined;
  readonly intermediateCertsPath: string | undefined;
  readonly authorityPaths: readonly string[];
}

export interface ClientTlsConfig extends CredentialFiles {
  /** The name that the other side's certificate must be for; undefined: anyone is believed. */
  readonly commonName: string | undefined;
}

export interface ServerTlsConfig extends CredentialFiles {
  readonly requireClientAuth: boolean;
}

/** Undefined where it is not enabled. */
export function clientTls(raw: z.output<typeof clientTlsSchema> | undefined): ClientTlsConfig | undefined {
  if (raw === undefined || !raw.enabled) return undefined;
  const { commonName, disableValidation, trustCerts, trustCertsBundle, clientAuth } = raw;
  return {
    commonName: disableValidation ? undefined : commonName,
    certPath: clientAuth?.certPath,
    keyPath: clientAuth?.keyPath,
    intermediateCertsPath: clientAuth?.intermediateCertsPath,
    authorityPaths: trustCerts ?? (trustCertsBundle === undefined ? [] : [trustCertsBundle]),
  };
}

/** Undefined where it is not enabled. */
export function serverTls(raw: z.output<typeof serverTlsSchema> | undefined): ServerTlsConfig | undefined {
  if (raw === undefined || !raw.enabled) return undefined;
  const { certPath, keyPath, intermediateCertsPath, caCertPath, requireClientAuth } = raw;
  const authorityPaths = caCertPath === undefined ? [] : [caCertPath];
  return { certPath, keyPath, intermediateCertsPath, authorityPaths, requireClientAuth };
}

/** What of a router's TLS the schema alone cannot tell. */
export interface RouterTls {
  /** As the file has it. */
  readonly tls?: string | undefined;
  readonly client: { readonly tls?: z.output<typeof clientTlsSchema> | undefined };
  readonly servers: readonly { readonly tls?: z.output<typeof serverTlsSchema> | undefined }[];
  readonly interpreter: { readonly transformers: readonly { readonly kind: string }[] };
}

/** Both forms on one router, or TLS to where no daemon is. `where`: the router's path in the config. */
export function misplacedTls(where: string, { tls, client, servers, interpreter }: RouterTls): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const files = [
    ...(client.tls?.enabled === true ? [`${where}.client.tls`] : []),
    ...servers.flatMap((server, i) => (server.tls?.enabled === true ? [`${where}.servers[${i}].tls`] : [])),
  ];
  if (tls !== undefined && files.length > 0) {
    const what = `certificates of the mesh itself and files (${files.join(', ')}) exclude each other on a router; leave one out`;
    problems.push({ where: `${where}.tls`, what });
  }
  const { transformers } = interpreter;
  if (tls !== undefined && tls !== 'off' && transformers.length === 0) {
    const what =
      'daemons speak TLS to each other alone: give the router an io.l5d.k8s.daemonset or io.l5d.k8s.localnode transformer';
    problems.push({ where: `${where}.tls`, what });
  }
  if (client.tls?.enabled === true && !transformers.some(({ kind }) => kind === 'io.l5d.k8s.daemonset')) {
    const what = 'only other daemons are spoken to in TLS: it goes with an io.l5d.k8s.daemonset transformer';
    problems.push({ where: `${where}.client.tls`, what });
  }
  return problems;
}
