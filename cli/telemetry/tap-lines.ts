import type { Colour, Paint } from '../view/colours.ts';
import { cut } from '../view/table.ts';
import { clean, duration } from '../view/text.ts';

/** What tap says of one request (the daemon's telemetry), as far as it is shown; anything may be missing. */
export type TapRecord = Readonly<Record<string, unknown>>;

interface Cell {
  readonly title: string;
  readonly text: string;
  readonly right?: boolean;
  readonly colour?: Colour | undefined;
  /** Wider texts have it wider from then on, as far as this. */
  readonly most: number;
}

const NAME_WIDTH = 40;
const GAP = '  ';

/** Lines of requests as they come. Columns grow with what was shown so far, so that lines that follow each other mostly align. */
export class TapLines {
  readonly #wide: boolean;
  readonly #paint: Paint;
  readonly #widths: number[] = [];
  #titled = false;

  constructor(wide: boolean, paint: Paint) {
    this.#wide = wide;
    this.#paint = paint;
  }

  /** The lines of one request, the first time below a line of titles. `width`: columns of the terminal, undefined for no limit. */
  add(record: TapRecord, width: number | undefined): string[] {
    const cells = this.#wide ? [...cellsOf(record), ...moreOf(record)] : cellsOf(record);
    const last = requestText(record);
    for (const [i, { title, text, most }] of cells.entries()) {
      this.#widths[i] = Math.min(most, Math.max(this.#widths[i] ?? title.length, [...text].length));
    }
    const lines = [this.#line(cells, last, width)];
    const headers = headerLines(record);
    if (this.#titled) return [...lines, ...headers];
    this.#titled = true;
    const titles = cells.map((cell) => ({ ...cell, text: cell.title, colour: undefined }));
    return [this.#paint(this.#plain(titles, 'REQUEST', width), 'bold'), ...lines, ...headers];
  }

  #line(cells: readonly Cell[], last: string, width: number | undefined): string {
    const plain = cells.map((cell, i) => this.#padded(cell, i));
    const used = plain.reduce((sum, text) => sum + [...text].length + GAP.length, 0);
    if (width !== undefined && used > width) return cut([...plain, last].join(GAP), width);
    const request = width === undefined ? last : cut(last, width - used);
    return [...plain.map((text, i) => this.#paint(text, cells[i]?.colour)), request].join(GAP);
  }

  #plain(cells: readonly Cell[], last: string, width: number | undefined): string {
    const text = [...cells.map((cell, i) => this.#padded(cell, i)), last].join(GAP);
    return width === undefined ? text : cut(text, width);
  }

  #padded({ text, right }: Cell, i: number): string {
    const width = this.#widths[i] ?? 0;
    const shown = cut(text, width);
    const space = ' '.repeat(Math.max(0, width - [...shown].length));
    return right === true ? `${space}${shown}` : `${shown}${space}`;
  }
}

function cellsOf(record: TapRecord): Cell[] {
  const status = Number(record.status ?? 0);
  const error = text(record, 'error');
  const outcome = `${status === 0 ? '-' : status}${error === '' ? '' : ` ${error}`}`;
  const ms = record.total_ms;
  return [
    { title: 'TIME', text: clock(text(record, 'timestamp')), most: 12 },
    { title: 'SIDE', text: SIDES[text(record, 'direction')] ?? '-', most: 4 },
    { title: 'STATUS', text: outcome, most: 24, colour: colourOf(status, error) },
    { title: 'TOOK', text: duration(typeof ms === 'number' ? ms : null), most: 8, right: true },
    { title: 'FROM', text: sourceText(record), most: NAME_WIDTH },
    { title: 'TO', text: targetText(record), most: NAME_WIDTH },
  ];
}

/** As seen from the pod that it is about. */
const SIDES: Readonly<Record<string, string>> = { outgoing: 'out', incoming: 'in' };

function moreOf(record: TapRecord): Cell[] {
  const retries = Array.isArray(record.retries) ? record.retries.map((reason) => clean(String(reason))) : [];
  return [
    { title: 'NODE', text: text(record, 'node') || '-', most: NAME_WIDTH },
    { title: 'POD', text: text(record, 'dst_pod') || text(record, 'backend') || '-', most: NAME_WIDTH },
    { title: 'OWN', text: duration(numberOf(record, 'processing_ms')), most: 8, right: true },
    { title: 'SENT', text: String(numberOf(record, 'request_bytes') ?? '-'), most: 12, right: true },
    { title: 'GOT', text: String(numberOf(record, 'response_bytes') ?? '-'), most: 12, right: true },
    { title: 'RETRIES', text: retries.join(',') || '-', most: 24 },
    { title: 'TRACE', text: text(record, 'trace_id') || '-', most: 32 },
  ];
}

function sourceText(record: TapRecord): string {
  const name = text(record, 'src_workload') || text(record, 'src_pod');
  if (name === '') return text(record, 'client_addr') || '-';
  return `${text(record, 'src_namespace')}/${name}`;
}

function targetText(record: TapRecord): string {
  const name = text(record, 'dst_service');
  if (name === '') return text(record, 'host') || '-';
  return text(record, 'dst_namespace') === '' ? name : `${text(record, 'dst_namespace')}/${name}`;
}

function requestText(record: TapRecord): string {
  const [method, host, uri] = [text(record, 'method'), text(record, 'host'), text(record, 'uri')];
  return `${method} ${uri.startsWith('/') ? host : ''}${uri}`;
}

function headerLines({ request_headers: headers }: TapRecord): string[] {
  if (typeof headers !== 'object' || headers === null) return [];
  return Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => `    ${clean(name)}: ${clean(String(one))}`),
  );
}

function colourOf(status: number, error: string): Colour | undefined {
  if (error !== '' || status === 0 || status >= 500) return 'red';
  return status >= 400 ? 'yellow' : 'green';
}

/** `12:03:04.567` of an ISO 8601 time. */
function clock(timestamp: string): string {
  return timestamp.slice(11, 23) || '-';
}

function text(record: TapRecord, key: string): string {
  const value = record[key];
  return typeof value === 'string' ? clean(value) : '';
}

function numberOf(record: TapRecord, key: string): number | null {
  const value = record[key];
  return typeof value === 'number' ? value : null;
}
