import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

export interface Column<Row> {
  readonly key: string;
  readonly title: string;
  readonly numeric?: boolean;
  /** Left out on narrow screens. */
  readonly minor?: 'phone' | 'narrow';
  /** Makes the column sortable: texts ascend first, numbers descend; null comes last. */
  readonly sort?: (row: Row) => string | number | null;
  readonly cell: (row: Row) => ComponentChildren;
  readonly width: string;
  /** Its width on phones; columns without one share what is left. */
  readonly phone?: string;
}

interface Order {
  readonly key: string;
  readonly down: boolean;
}

/** More rows than this are drawn only where they are looked at. */
const DRAW_ALL_UP_TO = 60;
const ROW_PX = 44;
const SPARE_ROWS = 8;

/**
 * A table of many rows: fixed columns, rows of one height, and of more than 60 only those in sight (aria-rowcount tells the
 * truth). The order is held until the reader sorts again: rows that change places every two seconds cannot be read.
 */
export function DataTable<Row>(props: {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  initial: Order;
  empty: ComponentChildren;
}) {
  const { columns, rows, keyOf } = props;
  const [order, setOrder] = useState(props.initial);
  const held = useRef<{ order: Order; keys: readonly string[] }>({ order, keys: [] });
  const scroller = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState({ top: 0, height: 800 });
  useLayoutEffect(() => {
    const height = scroller.current?.clientHeight ?? 0;
    if (height > 0 && height !== sight.height) setSight({ top: sight.top, height });
  });

  const best = sorted(rows, columns, order).map(keyOf);
  if (held.current.order !== order) held.current = { order, keys: best };
  held.current.keys = holdOrder(held.current.keys, best);
  const byKey = new Map(rows.map((row) => [keyOf(row), row]));
  const shown = held.current.keys.flatMap((key) => byKey.get(key) ?? []);
  const stale = held.current.keys.some((key, index) => key !== best[index]);

  const all = shown.length <= DRAW_ALL_UP_TO;
  const first = all ? 0 : Math.max(0, Math.min(shown.length - 1, Math.floor(sight.top / ROW_PX) - SPARE_ROWS));
  const last = all ? shown.length : Math.min(shown.length, first + Math.ceil(sight.height / ROW_PX) + 2 * SPARE_ROWS);
  const sortBy = (column: Column<Row>) =>
    setOrder({
      key: column.key,
      down: order.key === column.key ? !order.down : rows.some((row) => typeof column.sort?.(row) === 'number'),
    });

  return (
    <>
      <section
        class="scroller"
        ref={scroller}
        tabIndex={0}
        aria-label={`${props.caption}, scrolls`}
        onScroll={({ currentTarget }) => {
          if (!all) setSight({ top: currentTarget.scrollTop, height: currentTarget.clientHeight });
        }}
      >
        <table aria-rowcount={shown.length + 1}>
          <caption class="unseen">{props.caption}</caption>
          <thead>
            <tr aria-rowindex={1}>
              {columns.map((column) => (
                <th
                  key={column.key}
                  scope="col"
                  class={classOf(column)}
                  style={{ '--width': column.width, '--phone': column.phone ?? (column.numeric ? '64px' : 'auto') }}
                  {...(order.key === column.key ? { 'aria-sort': order.down ? 'descending' : 'ascending' } : {})}
                >
                  {column.sort === undefined ? (
                    column.title
                  ) : (
                    <button type="button" onClick={() => sortBy(column)}>
                      {column.title}
                      <span aria-hidden="true">{order.key === column.key ? (order.down ? ' ↓' : ' ↑') : ''}</span>
                    </button>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {first > 0 && <tr class="space" style={{ height: `${first * ROW_PX}px` }} />}
            {shown.slice(first, last).map((row, index) => (
              <tr key={keyOf(row)} aria-rowindex={first + index + 2}>
                {columns.map((column, place) =>
                  place === 0 ? (
                    <th key={column.key} scope="row" class={classOf(column)}>
                      {column.cell(row)}
                    </th>
                  ) : (
                    <td key={column.key} class={classOf(column)}>
                      {column.cell(row)}
                    </td>
                  ),
                )}
              </tr>
            ))}
            {last < shown.length && <tr class="space" style={{ height: `${(shown.length - last) * ROW_PX}px` }} />}
          </tbody>
        </table>
        {shown.length === 0 && <p class="empty">{props.empty}</p>}
      </section>
      <p class="under">
        <span>{`${shown.length} shown`}</span>
        <button type="button" class="quiet" disabled={!stale} onClick={() => setOrder({ ...order })}>
          Sort again
        </button>
      </p>
    </>
  );
}

/** The held order without what has gone, and with what is new at its end. */
export function holdOrder(held: readonly string[], now: readonly string[]): readonly string[] {
  const present = new Set(now);
  const known = new Set(held);
  return [...held.filter((key) => present.has(key)), ...now.filter((key) => !known.has(key))];
}

function sorted<Row>(rows: readonly Row[], columns: readonly Column<Row>[], { key, down }: Order): readonly Row[] {
  const value = columns.find((column) => column.key === key)?.sort;
  if (value === undefined) return rows;
  return rows.toSorted((left, right) => {
    const [a, b] = [value(left), value(right)];
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
  });
}

function classOf<Row>({ numeric, minor }: Column<Row>): string {
  return `${numeric ? 'numeric' : ''} ${minor === undefined ? '' : `minor-${minor}`}`.trim();
}
