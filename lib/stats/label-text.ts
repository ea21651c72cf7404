const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED: Readonly<Record<string, string>> = { '\\\\': '\\', '\\"': '"', '\\n': '\n' };

/** Reads a series' label text (`a="x",b="y"`, Prometheus' text format 0.0.4); gives the values by name. */
export function labelsOf(text: string): Map<string, string> {
  const labels = new Map<string, string>();
  for (const [, name = '', value = ''] of text.matchAll(LABEL)) {
    labels.set(name, value.includes('\\') ? value.replace(/\\[\\"n]/g, (pair) => ESCAPED[pair] ?? pair) : value);
  }
  return labels;
}
