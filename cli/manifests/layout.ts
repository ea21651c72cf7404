/** Plain in YAML 1.1 and 1.2 alike, and no word that either takes for something else than a string. */
const PLAIN = /^(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z_][\w./-]*$/i;

/** Writes a JSON value in one line of flow style, which is JSON. */
export function flowText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flowText).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}: ${flowText(item)}`)
    .join(', ')}}`;
}

/**
 * Writes a pair of a block map as lines without their indentation. `listIndent` is the number of spaces before the dashes of a list
 * that is a pair's value: some write none, some two.
 */
export function pairLines(key: string, value: unknown, listIndent: number): string[] {
  const name = PLAIN.test(key) ? key : JSON.stringify(key);
  if (Array.isArray(value) && value.length > 0) {
    const lines = value.flatMap((item) => itemLines(item, listIndent));
    return [`${name}:`, ...indented(lines, listIndent)];
  }
  if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
    return [`${name}:`, ...indented(mapLines(value, listIndent), 2)];
  }
  return [`${name}: ${scalarText(value)}`];
}

/** Writes an item of a block list as lines without their indentation. */
export function itemLines(value: unknown, listIndent: number): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`- ${flowText(value)}`];
  const [first, ...others] = mapLines(value, listIndent);
  return first === undefined ? ['- {}'] : [`- ${first}`, ...indented(others, 2)];
}

function mapLines(value: object, listIndent: number): string[] {
  return Object.entries(value).flatMap(([key, item]) => pairLines(key, item, listIndent));
}

function indented(lines: readonly string[], by: number): string[] {
  return lines.map((line) => ' '.repeat(by) + line);
}

/** A scalar; what holds JSON is easier to read between single quotes, and YAML then takes nothing in it for an escape. */
export function scalarText(value: unknown): string {
  if (typeof value !== 'string') return flowText(value);
  if (value.includes('"') && /^[\x20-\x7e]*$/.test(value)) return `'${value.replaceAll("'", "''")}'`;
  return PLAIN.test(value) ? value : JSON.stringify(value);
}
