/**
 * Whether a path begins with a prefix, segment by segment, as linkerd's PathMatcher has it: `*` and `{name}` stand for any one
 * segment, `{name}:text` for one that ends in `:text`, after which nothing more is compared. A `*` in the path is a segment
 * that is not known, and matches all.
 */
export function hasPrefix(path: string, prefix: string): boolean {
  const segments = segmentsOf(path);
  for (const [i, wanted] of segmentsOf(prefix).entries()) {
    const segment = segments[i];
    if (segment === undefined) return false;
    if (wanted === '*' || segment === '*' || wanted === segment || isCapture(wanted)) continue;
    return endsAlike(segment, wanted);
  }
  return true;
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '');
}

function isCapture(text: string | undefined): boolean {
  return text?.startsWith('{') === true && text.endsWith('}');
}

function endsAlike(segment: string, wanted: string): boolean {
  const [name, ending, ...more] = wanted.split(':');
  const [, own, ...rest] = segment.split(':');
  return isCapture(name) && ending !== undefined && own === ending && more.length === 0 && rest.length === 0;
}
