/**
 * A small line of the last five minutes, oldest left; values that there are none of leave a gap. `floor` and `ceiling` are the
 * least range that is shown, so that noise does not look like a cliff. It says nothing to a screen reader: the number is beside it.
 */
export function Sparkline(props: {
  values: readonly (number | null)[];
  floor?: number;
  ceiling?: number;
  kind: 'rps' | 'success';
  width?: number;
  height?: number;
}) {
  const { values, kind, width = 96, height = 24 } = props;
  const known = values.filter((value) => value !== null);
  const low = Math.min(props.floor ?? 0, ...known);
  const high = Math.max(props.ceiling ?? 0.001, ...known);
  const line = pathOf(values, { low, high, width, height });
  return (
    <svg
      class={`spark is-${kind}`}
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {kind === 'rps' && line !== '' && <path class="area" d={`${line}L${width} ${height}L0 ${height}Z`} />}
      <path class="line" d={line} />
    </svg>
  );
}

/** The line's path: one point a value, evenly spread, one pixel free above and below. */
export function pathOf(
  values: readonly (number | null)[],
  box: { readonly low: number; readonly high: number; readonly width: number; readonly height: number },
): string {
  const step = box.width / Math.max(1, values.length - 1);
  const scale = (box.height - 3) / (box.high - box.low || 1);
  let path = '';
  let drawing = false;
  for (const [index, value] of values.entries()) {
    if (value !== null) {
      const x = (index * step).toFixed(1);
      const y = (box.height - 1.5 - (value - box.low) * scale).toFixed(1);
      path += `${drawing ? 'L' : 'M'}${x} ${y}`;
    }
    drawing = value !== null;
  }
  return path;
}
