/** One bar. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly ours: boolean;
}

const WIDTH = 720;
const LABEL_WIDTH = 170;
const VALUE_WIDTH = 70;
const BAR_HEIGHT = 22;
const GAP = 10;
const TOP = 64;
const GROUP_GAP = 34;

const STYLE = `  <style>
    text { font: 14px system-ui, sans-serif; fill: #24292f }
    .title { font-size: 17px; font-weight: 600 }
    .subtitle { font-size: 12px; fill: #57606a }
    .group { font-weight: 600 }
    .ours { fill: #1a7f37 }
    .other { fill: #afb8c1 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .subtitle { fill: #8d96a0 }
      .ours { fill: #3fb950 }
      .other { fill: #484f58 }
    }
  </style>`;

/** Bars of one unit, which share a scale. */
export interface BarGroup {
  readonly name: string;
  readonly bars: readonly { readonly label: string; readonly value: number; readonly text: string }[];
}

/** Groups of bars one below the other as an SVG document, in the order given; readable on light and dark pages. */
export function groupedChart(title: string, subtitle: string, groups: readonly BarGroup[]): string {
  let y = TOP - GAP;
  const parts: string[] = [];
  for (const { name, bars } of groups) {
    y += GROUP_GAP;
    parts.push(`  <text class="group" x="0" y="${y - 8}">${escapeText(name)}</text>`);
    const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / Math.max(...bars.map(({ value }) => value));
    for (const { label, value, text } of bars) {
      const width = Math.max(1, value * scale);
      const baseline = y + BAR_HEIGHT - 6;
      parts.push(`  <text x="${LABEL_WIDTH - 10}" y="${baseline}" text-anchor="end">${escapeText(label)}</text>
  <rect class="ours" x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="3"/>
  <text x="${(LABEL_WIDTH + width + 8).toFixed(1)}" y="${baseline}">${escapeText(text)}</text>`);
      y += BAR_HEIGHT + GAP;
    }
  }
  return svg(title, subtitle, y, parts);
}

/** A bar chart as an SVG document, the least value on top; readable on light and dark pages. */
export function barChart(title: string, subtitle: string, bars: readonly Bar[]): string {
  const sorted = bars.toSorted((a, b) => a.value - b.value);
  const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / Math.max(...sorted.map((bar) => bar.value));
  const height = TOP + sorted.length * (BAR_HEIGHT + GAP);
  const rows = sorted.map((bar, i) => {
    const y = TOP + i * (BAR_HEIGHT + GAP);
    const width = Math.max(1, bar.value * scale);
    const baseline = y + BAR_HEIGHT - 6;
    return `  <text x="${LABEL_WIDTH - 10}" y="${baseline}" text-anchor="end">${escapeText(bar.label)}</text>
  <rect class="${bar.ours ? 'ours' : 'other'}" x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="3"/>
  <text x="${(LABEL_WIDTH + width + 8).toFixed(1)}" y="${baseline}">${bar.value.toFixed(0)} µs</text>`;
  });
  return svg(title, subtitle, height, rows);
}

function svg(title: string, subtitle: string, height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeText(title)}">
${STYLE}
  <text class="title" x="0" y="20">${escapeText(title)}</text>
  <text class="subtitle" x="0" y="42">${escapeText(subtitle)}</text>
${parts.join('\n')}
</svg>
`;
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
