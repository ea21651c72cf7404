import { formatMs, formatRate } from '../format.ts';
import { Success } from './marks.tsx';
import type { Column } from './table.tsx';

type Minor = 'phone' | 'narrow';

/** Requests per second. */
export function rpsColumn<Row extends { readonly rps: number }>(width: string): Column<Row> {
  return { key: 'rps', title: 'rps', numeric: true, width, sort: ({ rps }) => rps, cell: ({ rps }) => formatRate(rps) };
}

/** The part of the answers that are no failures. */
export function successColumn<Row extends { readonly successRate: number | null }>(
  width: string,
  minor?: Minor,
): Column<Row> {
  return {
    key: 'success',
    title: 'Success',
    numeric: true,
    phone: '90px',
    ...(minor && { minor }),
    width,
    sort: ({ successRate }) => successRate,
    cell: ({ successRate }) => <Success rate={successRate} />,
  };
}

/** A percentile of the latency. */
export function latencyColumn<K extends 'p50' | 'p95' | 'p99', Row extends Readonly<Record<K, number | null>>>(
  key: K,
  width: string,
  minor?: Minor,
): Column<Row> {
  return {
    key,
    title: key,
    numeric: true,
    ...(minor && { minor }),
    width,
    sort: (row) => row[key],
    cell: (row) => formatMs(row[key]),
  };
}
