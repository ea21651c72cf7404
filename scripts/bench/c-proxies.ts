import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isInstalled } from './processes.ts';

/** A proxy of the distribution's, as it is run here: one process that serves, keep-alive both ways, nothing logged. */
export interface CProxy {
  readonly name: string;
  readonly package: string;
  readonly installed: boolean;
  /** Writes its config into `dir` and gives the command that runs it in the foreground. */
  command(dir: string, port: number, upstreamPort: number): readonly [string, ...string[]];
}

/** A reverse proxy with one backend; it passes the absolute-form target on as it came. */
const HAPROXY: CProxy = {
  name: 'haproxy',
  package: 'haproxy',
  installed: isInstalled('haproxy', '-v'),
  command(dir, port, upstreamPort) {
    const file = join(dir, 'haproxy.cfg');
    writeFileSync(file, haproxyConfig(`${port}`, `${upstreamPort}`));
    return ['haproxy', '-db', '-f', file];
  },
};

/**
 * The configs of two haproxies of one thread each by the port that each listens on, the one that pods would call last: from `port` to `between`, there
 * with mutual TLS 1.3 where wanted (`own.pem`, `ca.pem` in `dir`), and on to the application.
 */
export function haproxyPair(
  dir: string,
  { port, between, webPort, tls }: { port: number; between: number; webPort: number; tls: boolean },
): [listens: number, config: string][] {
  const suites = 'TLS_AES_256_GCM_SHA384'; // what Node's OpenSSL prefers too
  const credentials = `ssl crt ${dir}/own.pem ca-file ${dir}/ca.pem verify required ssl-min-ver TLSv1.3 ciphersuites ${suites}`;
  const secure = tls ? credentials : '';
  return [
    [between, haproxyConfig(`${between} ${tls ? `${credentials} alpn http/1.1` : ''}`, `${webPort}`)],
    [port, haproxyConfig(`${port}`, `${between} ${secure}`)],
  ];
}

function haproxyConfig(bind: string, server: string): string {
  return `global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${bind}
  default_backend web
backend web
  http-reuse always
  server web 127.0.0.1:${server}
`;
}

/** A reverse proxy as well: nginx is no forward proxy. Answers are passed on without a detour over the disk. */
const NGINX: CProxy = {
  name: 'nginx',
  package: 'nginx',
  installed: isInstalled('nginx', '-v'),
  command(dir, port, upstreamPort) {
    const file = join(dir, 'nginx.conf');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    writeFileSync(
      file,
      `daemon off;
user root;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr error;
events { worker_connections 10000; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${dir}/${name};`).join(' ')}
  keepalive_requests 1000000000;
  upstream web { server 127.0.0.1:${upstreamPort}; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / {
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
    }
  }
}
`,
    );
    return ['nginx', '-p', dir, '-c', file, '-e', 'stderr'];
  },
};

/** A forward proxy, without its cache; the name `web` leads to one parent. */
const SQUID: CProxy = {
  name: 'squid',
  package: 'squid',
  installed: isInstalled('squid', '-v'),
  command(dir, port, upstreamPort) {
    const file = join(dir, 'squid.conf');
    mkdirSync(join(dir, 'squid'));
    writeFileSync(
      file,
      `http_port 127.0.0.1:${port}
cache_peer 127.0.0.1 parent ${upstreamPort} 0 no-query originserver
never_direct allow all
http_access allow all
cache deny all
cache_mem 8 MB
access_log none
cache_log /dev/null
pid_filename none
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
coredump_dir ${dir}/squid
`,
    );
    return ['squid', '-N', '-f', file];
  },
};

export const C_PROXIES: readonly CProxy[] = [HAPROXY, NGINX, SQUID];
