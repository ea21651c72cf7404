/** What servers read in different ways: some decode, unfold or cut it before they route, and some after, or never. */
const AMBIGUOUS_CHARACTERS = /[\u0000-\u001f\u007f/\\%]/;
const DOT_SEGMENT = /^\.{1,2}(?:;.*)?$/;

/**
 * The path of an origin-form request target as every server reads it: without its query, percent-decoded once. Undefined where
 * servers disagree, so that a rule about paths must not be asked: encoded slashes and percent signs, backslashes, control
 * characters, bytes that are no UTF-8, empty and dot segments (also with parameters behind, as servlets cut them off), and
 * whatever is no path (RFC 3986 §2.1, §3.3, §6.2).
 */
export function comparablePath(target: string): string | undefined {
  const query = target.indexOf('?');
  const path = query === -1 ? target : target.slice(0, query);
  if (!path.startsWith('/') || !/^[\x21-\x7e]*$/.test(path) || path.includes('#')) return undefined;
  const segments: string[] = [];
  const written = path.slice(1).split('/');
  for (const [i, segment] of written.entries()) {
    const decoded = decode(segment);
    const empty = segment === '' && i < written.length - 1; // the last one is empty behind a final slash
    if (decoded === undefined || empty || AMBIGUOUS_CHARACTERS.test(decoded) || DOT_SEGMENT.test(decoded))
      return undefined;
    segments.push(decoded);
  }
  return `/${segments.join('/')}`;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
