import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Writes each frame of an interface behind its length; tells by a first empty one that it listens (packet(7)). */
const PROGRAM = `
import socket, struct, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
link.bind((sys.argv[1], 0))
out = sys.stdout.buffer
out.write(struct.pack('>I', 0)); out.flush()
while True:
    frame = link.recv(1 << 17)
    out.write(struct.pack('>I', len(frame)) + frame); out.flush()
`;
/** Time for what has passed to be written out. */
const TAIL_MS = 500;

const [ETHERNET_BYTES, IPV4, TCP] = [14, 0x0800, 6];
const [HANDSHAKE, SERVER_HELLO] = [0x16, 2];
/** Extension supported_versions with TLS 1.3 (RFC 8446 §4.2.1). */
const TLS_1_3 = Buffer.from([0x00, 0x2b, 0x00, 0x02, 0x03, 0x04]);

/** The Ethernet frames that pass an interface of this machine while `during` runs. Needs root and Python 3. */
export async function capture(link: string, during: () => Promise<void>): Promise<Buffer[]> {
  const child = spawn('python3', ['-c', PROGRAM, link], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pieces: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
  const ended = once(child, 'close').then(() => {
    throw new Error(`nothing can be captured on ${link}`);
  });
  try {
    await Promise.race([once(child.stdout, 'data'), ended]);
    await during();
    await new Promise((resolve) => setTimeout(resolve, TAIL_MS));
  } finally {
    ended.catch(() => {});
    child.kill();
  }
  return framesOf(Buffer.concat(pieces));
}

function framesOf(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    if (length > 0 && at + 4 + length <= bytes.length) frames.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}

export interface TcpPayload {
  readonly ports: readonly [source: number, destination: number];
  readonly bytes: Buffer;
}

/** What a frame carries over TCP and IPv4; nothing of any other. */
export function tcpPayloads(frame: Buffer): TcpPayload[] {
  if (frame.length < ETHERNET_BYTES + 40 || frame.readUInt16BE(12) !== IPV4 || frame[ETHERNET_BYTES + 9] !== TCP)
    return [];
  const ip = frame.subarray(ETHERNET_BYTES);
  const tcp = ip.subarray(((ip[0] ?? 0) & 15) * 4, Math.max(ip.readUInt16BE(2), 40) || undefined);
  const bytes = tcp.subarray(((tcp[12] ?? 0) >> 4) * 4);
  return bytes.length === 0 ? [] : [{ ports: [tcp.readUInt16BE(0), tcp.readUInt16BE(2)], bytes }];
}

/** Which version a server has chosen, where a payload begins with its hello. */
export function serverHellos(bytes: Buffer): string[] {
  if (bytes[0] !== HANDSHAKE || bytes[5] !== SERVER_HELLO) return [];
  return [bytes.subarray(0, 5 + bytes.readUInt16BE(3)).includes(TLS_1_3) ? 'TLS 1.3' : 'older'];
}
