/** One line of Prometheus text. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A counter that grew between two readings of one daemon. */
export interface Growth {
  readonly sample: Sample;
  readonly before: number;
}

/** Reads Prometheus' text format (version 0.0.4), as far as a daemon writes it. Lines that it does not understand are left out. */
export function readSamples(text: string): Sample[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key ?? '', text ?? '']);
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }];
  });
}

/** GETs a daemon's /metrics. Throws an Error that names the address. */
export async function scrape(nodeIp: string, adminPort: number): Promise<Sample[]> {
  const url = `http://${nodeIp}:${adminPort}/metrics`;
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`GET ${url}: ${answer.status} ${(await answer.text()).trim()}`);
  return readSamples(await answer.text());
}

/** The samples of `name` whose labels include all of `labels`, and that grew from `before` to `after`. */
export function growths(
  before: readonly Sample[],
  after: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>>,
): Growth[] {
  return after.flatMap((sample) => {
    if (sample.name !== name || !Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
      return [];
    const text = JSON.stringify(sample.labels);
    const old = before.find((one) => one.name === name && JSON.stringify(one.labels) === text)?.value ?? 0;
    return sample.value > old ? [{ sample, before: old }] : [];
  });
}

/** By how much all of them grew together. */
export function total(grown: readonly Growth[]): number {
  return grown.reduce((sum, { sample, before }) => sum + sample.value - before, 0);
}

/** `request_total{router="incoming"} 3 → 4`, with the labels that say something here. */
export function describeGrowth({ sample, before }: Growth): string {
  const labels = Object.entries(sample.labels).map(([key, value]) => `${key}="${value}"`);
  return `${sample.name}{${labels.join(',')}} ${before} → ${sample.value}`;
}
