import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { formatTime } from '../format.ts';

const HEIGHT_PX = 200;

/**
 * A chart of the last five minutes with a cursor (uPlot draws it on a canvas). `label` tells screen readers what it shows; the
 * numbers are in the table that its view gives beside it. Its height is fixed: nothing moves as data come.
 */
export function Chart(props: {
  label: string;
  name: string;
  colour: string;
  theme: string;
  times: readonly number[];
  values: readonly (number | null)[];
  range: (low: number, high: number) => [number, number];
  format: (value: number | null) => string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const { range, format, name, colour, theme } = props;
  const data: uPlot.AlignedData = [props.times.map((at) => at / 1_000), [...props.values]];

  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const css = getComputedStyle(element);
    const ink = css.getPropertyValue('--muted');
    const grid = { stroke: css.getPropertyValue('--line'), width: 1 };
    const stroke = css.getPropertyValue(colour);
    const font = `12px ${css.fontFamily}`;
    plot.current = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT_PX - 34,
        padding: [8, 34, 0, 0],
        scales: { y: { range: (_plot, low, high) => range(low ?? 0, high ?? 1) } },
        axes: [
          {
            stroke: ink,
            grid,
            ticks: grid,
            font,
            values: (_plot, at) => at.map((one) => formatTime(one * 1_000)),
            space: 90,
          },
          { stroke: ink, grid, ticks: grid, font, values: (_plot, all) => all.map(format), size: 62, space: 36 },
        ],
        series: [
          { label: 'at', value: (_plot, at) => (at === null ? '–' : formatTime(at * 1_000)) },
          {
            label: name,
            stroke,
            width: 2,
            fill: `${stroke}22`,
            points: { show: false },
            value: (_plot, one) => format(one),
          },
        ],
        cursor: { drag: { x: false, y: false } },
      },
      data,
      element,
    );
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT_PX - 34 }),
    );
    resized.observe(element);
    return () => {
      resized.disconnect();
      plot.current?.destroy();
    };
  }, [theme, name]);

  useEffect(() => plot.current?.setData(data));

  return <div class="chart" ref={place} role="img" aria-label={props.label} />;
}
