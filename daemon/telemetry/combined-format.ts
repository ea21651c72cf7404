import type { ExchangeRecord } from './exchange-record.ts';
import { tell } from './told-record.ts';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/**
 * A line as linkerd's `httpAccessLog` has it: `host remote - - [time] "request line" status bytes "referer" "user agent"`. Query
 * strings are left out. Escaped as Apache's httpd does it (mod_log_config): `\"`, `\\`, and `\xhh` for what is not printable ASCII.
 */
export function combinedLine(record: ExchangeRecord): string {
  const told = tell(record);
  const referer = (record.request.fields.value('referer') ?? '').slice(0, 512).replace(/\?.*/s, '?…');
  const line = `${told.method} ${told.uri} ${told.version}`;
  const host = escaped(told.host).replaceAll(' ', '\\x20');
  const sizes = `${told.status === 0 ? '-' : told.status} ${told.response_bytes || '-'}`;
  return `${host} ${record.caller.address} - - [${clfTime(record.timestamp)}] "${escaped(line)}" ${sizes} "${escaped(referer)}" "${escaped(told.user_agent)}"`;
}

function escaped(text: string): string {
  if (text === '') return '-';
  return text.replace('…', '...').replace(/["\\]|[^\x20-\x7e]/g, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    return [...Buffer.from(character, 'utf8')].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  });
}

function clfTime(ms: number): string {
  const [date = '', time = ''] = new Date(ms).toISOString().split('T');
  const [year, month, day] = date.split('-');
  return `${day}/${MONTHS[Number(month) - 1]}/${year}:${time.slice(0, 8)} +0000`;
}
