import type { Call } from './host.ts';

export interface Option {
  /** What its value is called; undefined for a flag. */
  readonly value?: string;
  /** The values that it may have, where these are few. */
  readonly values?: readonly string[];
  readonly short?: string;
  readonly summary: string;
}

export interface Example {
  readonly line: string;
  readonly summary: string;
}

/** A command, told without loading it: help and completion read this, and only a call loads the code. */
export interface Command {
  readonly summary: string;
  /** Its arguments, as usage shows them. */
  readonly synopsis: string;
  /** Words that an argument may be, and whether it may be a file, for completion. */
  readonly words?: readonly string[];
  readonly takesFiles?: boolean;
  readonly options: Readonly<Record<string, Option>>;
  readonly examples: readonly Example[];
  /** Gives the status to exit with. */
  readonly load?: () => Promise<{ run(call: Call): Promise<number> }>;
  /** In place of `load`: a process of its own, which reads its arguments itself. */
  readonly process?: () => Promise<{ main(argv: readonly string[]): Promise<void> }>;
}

const NAMESPACE = { value: 'namespace', short: 'n', summary: 'for what names none (default: default)' };
const FILE = {
  value: 'file',
  short: 'f',
  summary: 'explain the pods of manifests: a file, a folder, or - for standard input',
};
const OUTPUT = { value: 'format', values: ['text', 'json'], short: 'o', summary: 'text (default) or json' };
const REPORT = {
  value: 'format',
  values: ['text', 'json'],
  short: 'o',
  summary: 'the report on standard error: text (default) or json',
};
const PRE = { summary: 'check what an installation needs, before there is one' };
const STALE = { summary: 'pods of labelled namespaces without the proxy, or with another than new ones get' };
const YES = { short: 'y', summary: 'restart them, as kubectl rollout restart does' };
const ONE_NAMESPACE = { value: 'namespace', short: 'n', summary: 'only this one (default: all)' };
const WRITE = { short: 'w', summary: 'change the files in place; nothing is written if any of them has an error' };
const PROXY_ADDRESS = {
  value: 'how',
  values: ['nodeName', 'hostIP', 'hostIPv6'],
  summary: 'how pods address the proxy of their node: nodeName, hostIP (default) or hostIPv6',
};
const CONFIG = { value: 'file', summary: "the webhook's config (webhook.yaml), for its port, domain and address" };
const VALIDATE = { summary: 'only check the config' };
const STAT_KINDS = ['services', 'pods', 'workloads', 'nodes', 'edges'];
const ALL_NAMESPACES = { short: 'A', summary: 'of all namespaces, which is the default' };
const STAT = {
  namespace: { value: 'namespace', short: 'n', summary: 'only of this one' },
  'all-namespaces': ALL_NAMESPACES,
  from: { value: 'workload', summary: 'only what this workload sends, as <name> or <namespace>/<name>' },
  to: { value: 'service', summary: 'only what this Service is sent, as <name> or <namespace>/<name>' },
  window: { value: 'time', summary: 'what to look back at: 5s to 5m (default: 1m)' },
  sort: {
    value: 'column',
    values: ['name', 'rps', 'success', 'p50', 'p95', 'p99', 'retries'],
    summary: 'what comes first: most requests, least success, longest times',
  },
};
const TABLE = {
  value: 'format',
  values: ['table', 'wide', 'json'],
  short: 'o',
  summary: 'table (default), wide (more columns) or json',
};
const WATCH = { short: 'w', summary: 'again every 2 s, until q or Ctrl-C' };

/** Every command by its name, in the order of the help. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  inject: {
    summary: 'add the proxy to the pods of manifests, as the webhook would',
    synopsis: '[options] <file|folder|->...',
    takesFiles: true,
    options: { namespace: NAMESPACE, config: CONFIG, 'proxy-address': PROXY_ADDRESS, write: WRITE, output: REPORT },
    examples: [
      { line: 'nodemesh inject shop.yaml | kubectl apply -f -', summary: 'for clusters without the webhook' },
      { line: 'kubectl get deployment web -o yaml | nodemesh inject -', summary: 'what would be added to it' },
      { line: 'nodemesh inject --write --proxy-address nodeName k8s/', summary: 'every manifest of a folder' },
      {
        line: 'nodemesh inject -o json k8s/ 2> report.json > injected.yaml',
        summary: 'for scripts; exits with 2 where a pod could not be injected',
      },
    ],
    load: () => import('./commands/inject.ts'),
  },
  uninject: {
    summary: 'take out of manifests what inject added',
    synopsis: '[options] <file|folder|->...',
    takesFiles: true,
    options: { write: WRITE, output: REPORT },
    examples: [
      { line: 'nodemesh uninject shop.yaml', summary: 'the manifest as it was, byte for byte' },
      { line: 'nodemesh uninject --write k8s/', summary: 'every manifest of a folder' },
    ],
    load: () => import('./commands/uninject.ts'),
  },
  explain: {
    summary: 'why a pod is injected or not, and the environment that it gets',
    synopsis: '<namespace>/<pod> | [-n <namespace>] <kind>/<name> | --file <file|folder|->',
    options: { file: FILE, namespace: NAMESPACE, config: CONFIG, 'proxy-address': PROXY_ADDRESS },
    examples: [
      {
        line: 'nodemesh explain shop/web-6d4cf56db6-x2x7z',
        summary: 'a running pod: what it has, and what a new one would get',
      },
      {
        line: 'nodemesh explain -n shop deploy/web',
        summary: 'what the next pod of a workload gets, and which of its pods are older',
      },
      { line: 'nodemesh explain -f shop.yaml', summary: 'the pods of manifests, without a cluster' },
    ],
    load: () => import('./commands/explain.ts'),
  },
  check: {
    summary: 'look a mesh over, or with --pre whether one can be installed',
    synopsis: '[--pre] [-o json]',
    options: { pre: PRE, output: OUTPUT },
    examples: [
      { line: 'nodemesh check', summary: 'every finding with what to do about it; exits with 1 on errors' },
      { line: 'nodemesh check --pre', summary: 'before nodemesh is installed' },
      { line: 'nodemesh check -o json | jq .errors', summary: 'for scripts: findings by their ids' },
    ],
    load: () => import('./commands/check.ts'),
  },
  rollout: {
    summary: 'list the workloads whose pods are out of date, and restart them with --yes',
    synopsis: '--stale [-n <namespace>] [--yes]',
    options: { stale: STALE, namespace: ONE_NAMESPACE, yes: YES },
    examples: [
      { line: 'nodemesh rollout --stale', summary: "what is older than its namespace's label or the webhook's config" },
      { line: 'nodemesh rollout --stale -n shop --yes', summary: 'restart those of one namespace' },
    ],
    load: () => import('./commands/rollout.ts'),
  },
  stat: {
    summary: 'success rates, requests per second and latencies',
    synopsis: `[${STAT_KINDS.join('|')}] [options]`,
    words: STAT_KINDS,
    options: { ...STAT, watch: WATCH, output: TABLE },
    examples: [
      { line: 'nodemesh stat', summary: 'every Service that was called in the last minute' },
      { line: 'nodemesh stat services -n shop --from web', summary: 'what workload web makes of the Services of shop' },
      { line: 'nodemesh stat workloads --to shop/world', summary: 'who calls a Service, and how it fares' },
      { line: 'nodemesh stat nodes', summary: 'the daemons, with TLS and certificates' },
      {
        line: 'nodemesh stat pods -n shop --window 5m -o json',
        summary: 'for scripts; exits with 2 where some nodes did not answer, 1 where none did',
      },
    ],
    load: () => import('./commands/stat.ts'),
  },
  top: {
    summary: 'the same live, the busiest first',
    synopsis: `[${STAT_KINDS.join('|')}] [options]`,
    words: STAT_KINDS,
    options: { ...STAT, output: TABLE },
    examples: [
      { line: 'nodemesh top', summary: 'Services by requests per second, every 2 s; q ends it' },
      { line: 'nodemesh top edges --sort success', summary: 'who fails whom' },
    ],
    load: () => import('./commands/top.ts'),
  },
  tap: {
    summary: 'requests as they go by, of all nodes',
    synopsis: '[<kind>/<name>] [options]',
    options: {
      namespace: { value: 'namespace', short: 'n', summary: 'only from or to this one' },
      to: { value: 'service', summary: 'only to this Service' },
      method: { value: 'method', summary: 'only of this method' },
      path: { value: 'path', summary: 'only of this path; /api/* is all that begins so' },
      status: { value: 'status', summary: 'only so answered: 503, 5xx, or 0 for not at all' },
      max: { value: 'number', summary: 'at most so many a second of each node (default: 100)' },
      headers: { summary: 'their header fields too, without what is secret' },
      output: { ...TABLE, summary: 'table (default), wide (more columns) or json (one record a line)' },
    },
    examples: [
      { line: 'nodemesh tap -n shop', summary: 'what the pods of shop send, and what is sent to them' },
      { line: 'nodemesh tap deploy/web -n shop --to world', summary: 'what one workload sends to one Service' },
      { line: 'nodemesh tap service/world --status 5xx --headers', summary: 'what fails, with its header fields' },
      {
        line: 'nodemesh tap -o json | jq .uri',
        summary: 'for scripts; exits with 2 where some nodes could not be heard',
      },
    ],
    load: () => import('./commands/tap.ts'),
  },
  endpoints: {
    summary: 'the endpoints of Services, and what a node makes of them',
    synopsis: '[<namespace>/<service>] [options]',
    options: {
      namespace: { ...NAMESPACE, summary: 'of a Service that is named without one (default: default)' },
      node: { value: 'node', summary: 'as this one sees them (default: one that answers)' },
      output: { ...TABLE, summary: 'table (default), wide (nothing cut) or json' },
    },
    examples: [
      { line: 'nodemesh endpoints shop/world', summary: 'those of one Service' },
      { line: 'nodemesh endpoints --node node-2 -o json', summary: 'all that one node knows' },
    ],
    load: () => import('./commands/endpoints.ts'),
  },
  resolve: {
    summary: 'where a request would go, and why',
    synopsis: '<host>[:<port>] [--from <namespace>/<pod>] [options]',
    options: {
      from: { value: 'pod', summary: 'who asks, as <namespace>/<pod> (default: a stranger)' },
      method: { value: 'method', summary: 'for policies (default: GET)' },
      path: { value: 'path', summary: 'for policies (default: /)' },
      output: OUTPUT,
    },
    examples: [
      { line: 'nodemesh resolve world --from shop/web-6d4cf56db6-x2x7z', summary: 'as that pod would be served' },
      {
        line: 'nodemesh resolve world.shop:8080 --method POST --path /orders',
        summary: 'with a port, by policies too; exits with 2 where it would fail',
      },
    ],
    load: () => import('./commands/resolve.ts'),
  },
  dashboard: {
    summary: 'open the console of the mesh, or of one node, in a browser',
    synopsis: '[--port <number>] [--no-open] [--node <node>]',
    options: {
      port: { value: 'number', summary: 'of this machine to serve it on (default: one that is free)' },
      'no-open': { summary: 'only print where it is' },
      node: { value: 'node', summary: 'the console of this node alone' },
    },
    examples: [
      { line: 'nodemesh dashboard', summary: 'until Ctrl-C' },
      {
        line: 'nodemesh dashboard --port 8084 --no-open',
        summary: 'for a browser elsewhere, through ssh -L 8084:127.0.0.1:8084',
      },
    ],
    load: () => import('./commands/dashboard.ts'),
  },
  daemon: {
    summary: 'run the proxy of one host',
    synopsis: '[--validate] <config.yaml>',
    takesFiles: true,
    options: { validate: VALIDATE },
    examples: [{ line: 'nodemesh daemon --validate daemon.yaml', summary: 'every problem of a config, and exit 1' }],
    process: () => import('../daemon/main.ts'),
  },
  webhook: {
    summary: 'run the admission webhook',
    synopsis: '[--validate] <config.yaml>',
    takesFiles: true,
    options: { validate: VALIDATE },
    examples: [{ line: 'nodemesh webhook --validate webhook.yaml', summary: 'every problem of a config, and exit 1' }],
    process: () => import('../webhook/main.ts'),
  },
  playground: {
    summary: 'a mesh of two nodes on this machine, without a cluster',
    synopsis: '[--once]',
    options: { once: { summary: 'show it, check it, and exit' } },
    examples: [{ line: 'nodemesh playground', summary: 'the same as npm start, in a clone' }],
    process: () => import('../scripts/playground/main.ts'),
  },
  completion: {
    summary: 'a script that completes commands and options in a shell',
    synopsis: '<bash|zsh|fish>',
    words: ['bash', 'zsh', 'fish'],
    options: {},
    examples: [
      { line: 'source <(nodemesh completion bash)', summary: 'in ~/.bashrc' },
      { line: 'nodemesh completion zsh > "$fpath[1]/_nodemesh"', summary: 'once, for zsh' },
      { line: 'nodemesh completion fish > ~/.config/fish/completions/nodemesh.fish', summary: 'once, for fish' },
    ],
    load: () => import('./commands/completion.ts'),
  },
};

export const NAMES: readonly string[] = Object.keys(COMMANDS);
export const HELP_OPTION: Option = { short: 'h', summary: 'show this help' };
