import { inPod } from './kubectl.ts';

export interface RawAnswer {
  readonly status: number;
  /** By lower-case name. */
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Sends bytes to the outgoing router and gives its answer. `from` is a pod, whose own proxy gets them unless `proxy`
 * (`host:port`) names another.
 */
export async function rawRequest(
  from: { readonly namespace: string; readonly pod: string },
  request: string,
  proxy?: string,
): Promise<RawAnswer> {
  const source = `
    import { connect } from 'node:net';
    const proxy = new URL(${proxy === undefined ? 'process.env.http_proxy' : JSON.stringify(`http://${proxy}`)});
    const socket = connect(Number(proxy.port), proxy.hostname.replace(/^\\[|\\]$/g, ''));
    let text = '';
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer in 10 s')));
    socket.on('data', (part) => { text += part; });
    socket.on('close', () => console.log(JSON.stringify(text)));
    socket.write(${JSON.stringify(request)});`;
  return parseAnswer(JSON.parse(await inPod(from.namespace, from.pod, source)));
}

function parseAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const fields = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(statusLine.split(' ')[1]), fields: Object.fromEntries(fields), body: text.slice(end + 4) };
}

/** A GET in the form that clients use with a proxy, on a connection of its own. */
export function proxiedGet(url: string): string {
  return `GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}\r\nConnection: close\r\n\r\n`;
}
