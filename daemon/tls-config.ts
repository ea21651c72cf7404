import { z } from 'zod';
import type { ConfigProblem } from '../lib/config-file.ts';
import { hasPrefix } from './router/path-prefix.ts';

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

type RawClientTls = z.output<typeof clientTlsSchema>;

/** A router's `client` key, as far as it speaks of TLS. */
export interface RawClient {
  readonly tls?: RawClientTls | undefined;
  /** Under linkerd's `kind: io.l5d.static`. */
  readonly configs?: readonly { readonly prefix: string; readonly tls?: RawClientTls | undefined }[] | undefined;
}

/** Undefined where it is not enabled. Of several entries the last outdoes the others (linkerd's rule). */
export function clientTls(client: RawClient): ClientTlsConfig | undefined {
  const raw = client.configs?.findLast(({ tls }) => tls !== undefined)?.tls ?? client.tls;
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
  readonly client: RawClient;
  readonly servers: readonly { readonly tls?: z.output<typeof serverTlsSchema> | undefined }[];
  readonly interpreter: { readonly transformers: readonly { readonly kind: string }[] };
}

/** Both forms on one router, or TLS to where no daemon is. `where`: the router's path in the config. */
export function misplacedTls(where: string, { tls, client, servers, interpreter }: RouterTls): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const files = [
    ...clientPlaces(where, client),
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
  if (!transformers.some(({ kind }) => kind === 'io.l5d.k8s.daemonset')) {
    const what = 'only other daemons are spoken to in TLS: it goes with an io.l5d.k8s.daemonset transformer';
    problems.push(...clientPlaces(where, client).map((place) => ({ where: place, what })));
  }
  return [...problems, ...narrowTls(where, client)];
}

function clientPlaces(where: string, { tls, configs = [] }: RawClient): string[] {
  return [
    ...(tls?.enabled === true ? [`${where}.client.tls`] : []),
    ...configs.flatMap((entry, i) => (entry.tls?.enabled === true ? [`${where}.client.configs[${i}].tls`] : [])),
  ];
}

/** linkerd has a client for each destination; here all destinations behind a daemon share the connections to it. */
function narrowTls(where: string, { configs = [] }: RawClient): ConfigProblem[] {
  const what =
    'daemons are spoken to alike whatever Service is meant, over connections that all Services share: give tls in an entry that is for all of them (prefix: /), or beside configs';
  return configs.flatMap(({ prefix, tls }, i) =>
    tls === undefined || isOfAllServices(prefix) ? [] : [{ where: `${where}.client.configs[${i}].tls`, what }],
  );
}

/** As client ids of Services have it, with or without what a transformer puts before (route-policies.ts). */
function isOfAllServices(prefix: string): boolean {
  const id = prefix.search(/\/#(?:\/|$)/);
  const ofService = prefix.startsWith('/%') ? prefix.slice(id === -1 ? prefix.length : id) : prefix;
  return hasPrefix('/#/io.l5d.k8s/?/?/?', ofService); // ? is no name, and matches what stands for any alone
}
