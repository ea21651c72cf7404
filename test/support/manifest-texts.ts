/**
 * Manifests as people write them, by chance: each kind of workload, in YAML of many styles or in JSON. Everything depends on
 * the seed alone.
 */

export type Chance = (choices: number) => number;

/** Numbers below `choices`, from a seed (mulberry32). */
export function chanceFrom(seed: number): Chance {
  let state = seed >>> 0;
  return (choices) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % choices;
  };
}

/** A text that stands for a value in the way it is written: `env:`, `env: ~`, `env: []`. */
class Written {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

const EMPTY_LISTS = ['', ' ~', ' null', ' []', ' [ ]', '   # none'];
const EMPTY_MAPS = ['', ' ~', ' null', ' {}', ' { }', ' # nothing'];

type Json = null | string | number | boolean | Written | Json[] | { [key: string]: Json };

function variables(chance: Chance): Json[] {
  const possible: Json[] = [
    { name: 'LOG', value: 'debug' },
    { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
    { name: 'NODE_IP', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.hostIP' } } },
    { name: 'SCRIPT', value: 'echo one\necho two\n' },
    { name: 'KEPT', value: 'text\n\n' },
    { name: 'QUOTED', value: 'it\'s "quoted" # and: more' },
    { name: 'SECRET', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
    { name: 'EMPTY' },
    { name: 'no_proxy', value: 'localhost' },
    { name: 'JAVA_TOOL_OPTIONS', value: '-Xmx1g' },
  ];
  return possible.filter(() => chance(3) === 0).sort(() => chance(3) - 1);
}

function container(chance: Chance, name: string): Json {
  const result: { [key: string]: Json } = {};
  const fields: [string, () => Json][] = [
    ['name', () => name],
    ['image', () => 'registry.example/app:1.0'],
    ['args', () => ['-c', 'x: y', '--target=$(NODE_IP)'].slice(0, 1 + chance(3))],
    ['ports', () => [{ containerPort: 8080 }]],
    ['env', () => (chance(4) === 0 ? new Written(EMPTY_LISTS[chance(EMPTY_LISTS.length)] ?? '') : variables(chance))],
    ['resources', () => ({ limits: { memory: '1Gi' } })],
  ];
  for (const [key, make] of shuffledSometimes(fields, chance))
    if (key === 'name' || chance(3) > 0) result[key] = make();
  if (Array.isArray(result.env) && result.env.length === 0) delete result.env;
  return result;
}

function shuffledSometimes<T>(items: T[], chance: Chance): T[] {
  return chance(4) === 0 ? items.sort(() => chance(3) - 1) : items;
}

function emptyMap(chance: Chance): Json {
  return new Written(EMPTY_MAPS[chance(EMPTY_MAPS.length)] ?? '');
}

function metadata(chance: Chance, needed: boolean): { metadata?: Json } {
  if (!needed && chance(4) === 0) return {};
  if (!needed && chance(5) === 0) return { metadata: emptyMap(chance) };
  const result: { [key: string]: Json } = {};
  if (needed) result.name = 'web';
  if (chance(2) === 0) result.labels = chance(4) === 0 ? { 'mesh-inject': 'enabled' } : { app: 'web' };
  const annotations: Json[] = [
    emptyMap(chance),
    { note: 'a: b' },
    { 'prometheus.io/scrape': 'true', 'x/y': '{"a":1}' },
    { 'nodemesh.dev/profile': 'java, node, grpc' },
    { 'nodemesh.dev/skip-containers': 'side-car', 'nodemesh.dev/no-proxy': 'a,b' },
  ];
  const chosen = annotations[chance(8)];
  if (chosen !== undefined) result.annotations = chosen;
  if (Object.keys(result).length === 0) return {};
  return { metadata: result };
}

function pod(chance: Chance, needsName: boolean): { [key: string]: Json } {
  const spec: { [key: string]: Json } = {};
  if (chance(3) === 0) spec.initContainers = [container(chance, 'init')];
  if (chance(6) === 0) spec.hostNetwork = true;
  spec.containers = ['app', 'side-car', 'third'].slice(0, 1 + chance(3)).map((name) => container(chance, name));
  if (chance(2) === 0) spec.restartPolicy = 'Always';
  return { ...metadata(chance, needsName), spec };
}

function workload(chance: Chance): Json {
  const head = (apiVersion: string, kind: string) => ({ apiVersion, kind });
  const named = { metadata: { name: 'web', namespace: 'shop' } };
  const template = () => pod(chance, false);
  const spec = () => ({ replicas: 2, template: template() });
  const kinds: (() => Json)[] = [
    () => ({ ...head('v1', 'Pod'), ...pod(chance, true) }),
    () => ({ ...head('apps/v1', 'Deployment'), ...named, spec: spec() }),
    () => ({ ...head('apps/v1', 'ReplicaSet'), ...named, spec: spec() }),
    () => ({ ...head('apps/v1', 'StatefulSet'), ...named, spec: spec() }),
    () => ({ ...head('apps/v1', 'DaemonSet'), ...named, spec: spec() }),
    () => ({ ...head('v1', 'ReplicationController'), ...named, spec: spec() }),
    () => ({ ...head('batch/v1', 'Job'), ...named, spec: { template: template() } }),
    () => ({ ...head('batch/v1', 'CronJob'), ...named, spec: { jobTemplate: { spec: { template: template() } } } }),
    () => ({ ...head('v1', 'PodTemplate'), ...named, template: template() }),
    () => ({ ...head('v1', 'ConfigMap'), ...named, data: { 'a.yaml': 'spec:\n  containers: []\n' } }),
    () => ({ ...head('v1', 'List'), items: [workload(chance), null, workload(chance)] }),
    () => ({ ...head('v1', 'PodList'), items: [pod(chance, true)] }),
  ];
  return (kinds[chance(kinds.length)] as () => Json)();
}

/** How one text is laid out. */
interface Style {
  readonly chance: Chance;
  readonly listIndent: number;
  readonly step: number;
  readonly comments: boolean;
  readonly flowOdds: number;
}

/** A manifest's text. */
export function manifestText(chance: Chance): string {
  const count = 1 + chance(3);
  const eol = chance(5) === 0 ? '\r\n' : '\n';
  let text: string;
  if (chance(5) === 0) {
    const gap = chance(2) === 0 ? undefined : 2;
    text = JSON.stringify(plain(workload(chance), chance), null, gap);
  } else {
    const style = {
      chance,
      listIndent: chance(2) * 2,
      step: 2 + chance(2) * 2,
      comments: chance(2) === 0,
      flowOdds: [0, 0, 8, 3][chance(4)] ?? 0,
    };
    const documents = Array.from({ length: count }, () => `${block(workload(chance), 0, style).join('\n')}\n`);
    text = documents.join(chance(2) === 0 ? '---\n' : '--- # next\n# of it\n');
    if (chance(4) === 0) text = `# head\n---\n${text}`;
    if (chance(6) === 0) text = `${text}...\n`;
  }
  text = chance(4) === 0 ? text.trimEnd() : text;
  return text.replaceAll('\n', eol);
}

/** For JSON: what is written as empty is one of its forms of empty. */
function plain(value: Json, chance: Chance): unknown {
  if (value instanceof Written) {
    const text = value.text.replace(/#.*/, '').replaceAll(' ', '');
    return text === '[]' ? [] : text === '{}' ? {} : null;
  }
  if (Array.isArray(value)) return value.map((item) => plain(item, chance));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item, chance)]));
}

function block(value: Json, indent: number, style: Style): string[] {
  const pad = ' '.repeat(indent);
  if (Array.isArray(value))
    return value.flatMap((item) => [...remarks(indent, style), ...blockItem(item, indent, style)]);
  return Object.entries(value as { [key: string]: Json }).flatMap(([key, item]) => {
    const lines = remarks(indent, style);
    if (item instanceof Written) return [...lines, `${pad}${key}:${item.text}`];
    if (typeof item !== 'object' || item === null)
      return [...lines, ...scalarPair(`${pad}${key}:`, item, indent, style)];
    if (style.flowOdds > 0 && style.chance(style.flowOdds) === 0)
      return [...lines, `${pad}${key}: ${flow(item, style)}`];
    const deeper = Array.isArray(item) ? indent + style.listIndent : indent + style.step;
    const end = style.comments && style.chance(6) === 0 ? ' # of these' : '';
    return [...lines, `${pad}${key}:${end}`, ...block(item, deeper, style)];
  });
}

function blockItem(item: Json, indent: number, style: Style): string[] {
  const pad = ' '.repeat(indent);
  if (typeof item !== 'object' || item === null || item instanceof Written) return [`${pad}- ${scalar(item, style)}`];
  if (style.flowOdds > 0 && style.chance(style.flowOdds) === 0) return [`${pad}- ${flow(item, style)}`];
  const [first = '', ...others] = block(item, indent + 2, { ...style, comments: false });
  return [`${pad}- ${first.trimStart()}`, ...others];
}

function remarks(indent: number, { chance, comments }: Style): string[] {
  if (!comments || chance(6) > 0) return [];
  return (
    [[`${' '.repeat(indent)}# a remark: [`], [''], ['# left: {'], [`${' '.repeat(indent)}# one`, '', '# two']][
      chance(4)
    ] ?? []
  );
}

function scalarPair(start: string, value: Json, indent: number, style: Style): string[] {
  if (typeof value === 'string' && value.includes('\n') && style.chance(2) === 0) {
    const kept = value.endsWith('\n\n');
    const lines = value
      .trimEnd()
      .split('\n')
      .map((line) => ' '.repeat(indent + 2) + line);
    return [`${start} |${kept ? '+' : ''}`, ...lines, ...(kept ? [''] : [])];
  }
  const remark = style.comments && style.chance(5) === 0 ? ' # why' : '';
  return [`${start} ${scalar(value, style)}${remark}`];
}

function scalar(value: Json, { chance }: Style): string {
  if (value instanceof Written) return value.text.replace(/#.*/, '').trim() || 'null';
  if (typeof value !== 'string') return JSON.stringify(value);
  if (/^[A-Za-z][\w./-]*$/.test(value) && value !== 'true' && chance(2) === 0) return value;
  return !value.includes('\n') && chance(2) === 0 ? `'${value.replaceAll("'", "''")}'` : JSON.stringify(value);
}

function flow(value: Json, style: Style): string {
  const { chance } = style;
  const space = chance(2) === 0 ? ' ' : '';
  if (Array.isArray(value)) return `[${space}${value.map((item) => flow(item, style)).join(', ')}${space}]`;
  if (typeof value !== 'object' || value === null || value instanceof Written) return scalar(value, style);
  const pairs = Object.entries(value).map(
    ([key, item]) => `${chance(2) === 0 ? key : `"${key}"`}: ${flow(item, style)}`,
  );
  return `{${space}${pairs.join(', ')}${space}}`;
}
